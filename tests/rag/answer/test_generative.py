"""Answers that a language model writes: streamed, checked against their passages, and replaced where that fails."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ingest import ingest
from rag.answer.citations import UNSUPPORTED
from rag.answer.generative import ANSWER_TOKENS, MOST_STATEMENTS, REPLACED, STOPPED, STOPPED_EARLY
from rag.chain import NO_ANSWER, Chain
from rag.config import Config
from rag.errors import Stopped
from rag.models.prompts import NOT_ANSWERED
from rag.schema import Answer, Turn
from tests.rag.test_chain import IRAQ, assert_quotes
from tests.support.llm_server import BREAK, Refused, Reply, Scripted, scripted
from ui.export.json import answer_json

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_settings")]

LETTER = "Iraq has answered Israeli threats with an official letter to the U.N. Security Council."
DUTY = "It turned to the Council because it wants the body to keep international peace and security."
CHEESE = "The moon is made of cheese."
Script = Callable[[str], Reply]


@contextmanager
def writing(chain: Chain, reply: Script, **settings: Any) -> Iterator[tuple[Chain, Scripted]]:
    """The chain with a scripted model, and its server."""
    with scripted(reply) as server:
        config = Config(index=chain.index.folder, llm="tiny", llm_base_url=server.url, **settings)
        yield chain.with_llm(config), server


def labels(prompt: str) -> list[str]:
    return re.findall(r"^mark: \[(\w+)\]$", prompt, re.MULTILINE)


def citing(*sentences: str) -> Script:
    """A model that cites all passages for each sentence."""
    return lambda prompt: " ".join(f"{said} {''.join(f'[{m}]' for m in labels(prompt))}" for said in sentences)


def shown_sentences(answer: Answer) -> list[str]:
    return [answer.text[sentence.start : sentence.end] for sentence in answer.sentences]


def test_each_sentence_has_its_quote_or_says_that_it_has_none(sample_chain: Chain) -> None:
    with writing(sample_chain, citing(LETTER, CHEESE, DUTY)) as (chain, server):
        answer = chain.ask(IRAQ)
    assert answer.text == f"{LETTER} [1] {CHEESE} {UNSUPPORTED} {DUTY} [2]"
    assert [bool(sentence.support) for sentence in answer.sentences] == [True, False, True]
    assert (answer.grounded, answer.written_by, answer.notice) == (True, "tiny", "")
    assert_quotes(answer, chain)
    assert answer.confidence == pytest.approx(sample_chain.ask(IRAQ).confidence * 2 / 3)
    [request] = server.requests
    assert [message["role"] for message in request["messages"]] == ["system", "user"]
    assert request["messages"][0]["content"].startswith("You answer a reader's question")
    assert IRAQ in request["messages"][1]["content"]


def test_the_json_has_the_extractive_answers_keys_and_sentences(sample_chain: Chain) -> None:
    with writing(sample_chain, citing(LETTER, CHEESE)) as (chain, _):
        written = answer_json(chain.ask(IRAQ))
    plain = answer_json(sample_chain.ask(IRAQ))
    assert written.keys() == plain.keys()
    assert written["sentences"][1] == {"text": CHEESE, "citations": [], "support": 0.0}
    assert written["sentences"][0]["citations"] == [1]
    assert all(sentence["citations"] and sentence["support"] == 1 for sentence in plain["sentences"])
    assert written["citations"][0].keys() == plain["citations"][0].keys()


def test_labels_are_renumbered_and_unknown_ones_removed(sample_chain: Chain) -> None:
    def reply(prompt: str) -> list[str]:
        own = labels(prompt)
        return [DUTY, " [", own[0][:-1], own[0][-1], "][zz9] [4]", f" {LETTER} [{own[1]}] [1]", "[99]"]

    with writing(sample_chain, reply) as (chain, _):
        answer = chain.ask(IRAQ)
    assert answer.text == f"{DUTY} [1] {LETTER} [2]"
    assert_quotes(answer, chain)


def test_a_sentence_without_a_label_gets_a_citation_only_if_it_is_clear(sample_chain: Chain) -> None:
    vague = "Baghdad wrote about its neighbours."
    with writing(sample_chain, lambda _: f"{LETTER} {vague}") as (chain, _):
        assert chain.ask(IRAQ).text == f"{LETTER} [1] {vague} {UNSUPPORTED}"


@pytest.mark.parametrize("wrong", [LETTER.replace("Iraq", "Iran"), LETTER.replace("an", "its 12th"), CHEESE])
def test_an_answer_without_support_is_replaced(sample_chain: Chain, wrong: str) -> None:
    with writing(sample_chain, citing(wrong)) as (chain, _):
        answer = chain.ask(IRAQ)
    assert answer.text == sample_chain.ask(IRAQ).text
    assert answer.notice.endswith(REPLACED)
    assert "tiny" in answer.notice
    assert answer.written_by == ""


def test_a_model_that_finds_no_answer_is_reported(sample_chain: Chain) -> None:
    with writing(sample_chain, lambda _: NOT_ANSWERED) as (chain, _):
        steps = list(chain.stream(IRAQ))
    assert (steps[-1].grounded, steps[-1].text, steps[-1].citations) == (False, NO_ANSWER, ())
    assert "tiny finds no answer" in steps[-1].notice
    assert steps[-1].hits
    assert not any(NOT_ANSWERED in step.text for step in steps)


def test_a_partial_answer_says_so(sample_chain: Chain) -> None:
    with writing(sample_chain, citing(LETTER, NOT_ANSWERED)) as (chain, _):
        answer = chain.ask(IRAQ)
    assert answer.text == f"{LETTER} [1]"
    assert "do not answer all of it" in answer.notice


def test_the_model_is_not_asked_what_the_articles_do_not_hold(sample_chain: Chain) -> None:
    with writing(sample_chain, citing(LETTER)) as (chain, server):
        answer = chain.ask("Who won the chess championship in Reykjavik?")
    assert (answer.grounded, server.prompts) == (False, [])


def test_words_are_shown_as_they_arrive(sample_chain: Chain) -> None:
    proceed = threading.Event()

    def reply(prompt: str) -> Iterator[Any]:
        yield "Iraq has answered"
        assert proceed.wait(30)
        yield f"{LETTER.removeprefix('Iraq has answered')} [{labels(prompt)[0]}]"

    with writing(sample_chain, reply) as (chain, _), closing(chain.stream(IRAQ)) as answers:
        first = next(answer for answer in answers if answer.text)
        assert (first.text, first.citations, first.grounded) == ("Iraq has answered", (), True)
        proceed.set()
        assert [*answers][-1].text == f"{LETTER} [1]"


def test_the_answer_only_grows(sample_chain: Chain) -> None:
    def reply(prompt: str) -> Iterator[str]:
        return iter(f"**{LETTER}** [{labels(prompt)[0]}]\n\n- {DUTY} [{labels(prompt)[1]}][9]")

    with writing(sample_chain, reply) as (chain, _):
        texts = [answer.text for answer in chain.stream(IRAQ)]
    assert texts[-1] == f"{LETTER} [1] {DUTY} [2]"
    for before, after in pairwise(texts):
        assert after.startswith(before.rstrip())


def test_an_answer_that_is_closed_ends_the_request(sample_chain: Chain) -> None:
    def reply(_: str) -> list[Any]:
        return ["Iraq has", 60, " answered."]

    with writing(sample_chain, reply) as (chain, server):
        with closing(chain.stream(IRAQ)) as answers:
            assert next(answer for answer in answers if answer.text).text == "Iraq has"
        until = time.monotonic() + 20
        while not server.broken_off and time.monotonic() < until:
            time.sleep(0.02)
        assert server.broken_off == 1


def stopped(chain: Chain, when: str) -> Answer:
    """The answer after it was stopped, once its text has these words."""
    with closing(chain.stream(IRAQ)) as answers:
        next(answer for answer in answers if when in answer.text)
        return answers.throw(Stopped())


@pytest.mark.parametrize("rest", [" It turned", f" {DUTY[:-1]}", " It met Mr.", " It turned [x"])
def test_an_answer_that_is_stopped_keeps_and_checks_what_is_finished(sample_chain: Chain, rest: str) -> None:
    def reply(prompt: str) -> list[Any]:
        return [f"{LETTER} [{labels(prompt)[0]}]{rest}", 60]

    shown = rest.removesuffix(" [x")
    with writing(sample_chain, reply) as (chain, server):
        answer = stopped(chain, LETTER)
        until = time.monotonic() + 20
        while not server.broken_off and time.monotonic() < until:
            time.sleep(0.02)
        assert server.broken_off == 1
    assert answer.text == f"{LETTER} [1]{shown} …"
    assert (shown_sentences(answer), answer.notice) == ([LETTER], STOPPED)
    assert_quotes(answer, chain)


@pytest.mark.parametrize("end", ["", " [MARK]"])
def test_the_last_finished_sentence_of_a_stopped_answer_is_checked(sample_chain: Chain, end: str) -> None:
    def reply(prompt: str) -> list[Any]:
        return [f"{LETTER}{end.replace('MARK', labels(prompt)[0])}", 60]

    with writing(sample_chain, reply) as (chain, _):
        answer = stopped(chain, LETTER)
    assert answer.text == f"{LETTER} [1]"
    assert [bool(sentence.support) for sentence in answer.sentences] == [True]


def test_an_answer_stopped_in_its_first_sentence_shows_it_unchecked(sample_chain: Chain) -> None:
    with writing(sample_chain, lambda _: ["Iraq has", 60]) as (chain, _):
        answer = stopped(chain, "Iraq has")
    assert (answer.text, answer.sentences, answer.citations) == ("Iraq has …", (), ())
    assert answer.notice == STOPPED_EARLY


def test_an_answer_stopped_before_its_first_word_is_none(sample_chain: Chain) -> None:
    with writing(sample_chain, lambda _: [60]) as (chain, _), pytest.raises(Stopped):
        stopped(chain, "")


def test_a_server_that_dies_leaves_the_text_so_far(sample_chain: Chain) -> None:
    def reply(prompt: str) -> list[Any]:
        return [f"{LETTER} [{labels(prompt)[0]}] It turned", BREAK]

    with writing(sample_chain, reply) as (chain, _):
        answer = chain.ask(IRAQ)
    assert (answer.text, shown_sentences(answer)) == (f"{LETTER} [1] It turned …", [LETTER])
    assert "broke off" in answer.notice
    assert "is incomplete" in answer.notice
    assert_quotes(answer, chain)


def test_a_server_that_dies_in_the_first_sentence_is_replaced_by_quotes(sample_chain: Chain) -> None:
    with writing(sample_chain, lambda _: ["Cheese made the moon", BREAK]) as (chain, _):
        answer = chain.ask(IRAQ)
    assert (answer.text, answer.written_by) == (sample_chain.ask(IRAQ).text, "")
    assert "broke off" in answer.notice
    assert answer.notice.endswith(REPLACED)


@pytest.mark.parametrize(
    "piece", ["x" * 10_000_000, "[" * 200_000, "![[" * 60_000, "It is old. ", "\n" * 100_000, "<think>" + "x " * 9_000]
)
def test_an_endless_reply_is_cut(sample_chain: Chain, piece: str) -> None:
    numbered = [f"The pier of Tolm has {number} posts. " for number in range(3_000)]
    pieces = [f"{LETTER} ", *(numbered if piece.startswith("It") else [piece] * 20)]
    with writing(sample_chain, lambda _: pieces) as (chain, _):
        answer = chain.ask(IRAQ)
    assert answer.text.startswith(f"{LETTER} [1]")
    assert "does not come to an end" in answer.notice
    assert len(answer.sentences) <= MOST_STATEMENTS + 1
    assert_quotes(answer, chain)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (401, "PULLQUOTE_API_KEY"),
        (404, "no model 'tiny'"),
        (Refused(429, "0"), "wait a while"),
        (500, "HTTP 500"),
        (b"<html>no", "an invalid reply"),
        ([b"data: {\n\n"], "an invalid reply"),
        ("", "wrote no answer"),
        ([5], "sent nothing for 1 seconds"),
        (["<think>It is", " long.</think>"], "wrote no answer"),
    ],
)
def test_a_failing_model_is_replaced_by_quotes(sample_chain: Chain, reply: Reply, why: str) -> None:
    with writing(sample_chain, lambda _: reply, llm_seconds=1 if reply == [5] else 30) as (chain, _):
        answer = chain.ask(IRAQ)
    assert answer.text == sample_chain.ask(IRAQ).text
    assert why in answer.notice
    assert answer.notice.endswith(REPLACED)


def test_a_follow_up_is_looked_up_as_the_model_writes_it(sample_chain: Chain) -> None:
    def reply(prompt: str) -> str:
        return IRAQ if "conversation" in prompt.splitlines()[0] else citing(LETTER)(prompt)

    with writing(sample_chain, reply) as (chain, server):
        answer = chain.ask("And what else did it say?", [Turn("Who wrote to the Council?", "Iraq did. [1]", ("x",))])
    assert answer.searched == (IRAQ,)
    assert answer.text == f"{LETTER} [1]"
    assert (len(server.prompts), answer.question) == (2, "And what else did it say?")


def test_after_a_failed_rewrite_the_model_is_not_waited_for_again(sample_chain: Chain) -> None:
    history = [Turn(IRAQ, "Iraq wrote a letter.", ("iraq-letter-security-council",))]
    with writing(sample_chain, lambda _: 401) as (chain, server):
        answer = chain.ask("And what did it say about airspace?", history)
    plain = sample_chain.ask("And what did it say about airspace?", history)
    assert (answer.text, len(server.prompts)) == (plain.text, 1)
    assert answer.notice.endswith(REPLACED)


def test_a_comparison_is_looked_up_in_parts(sample_chain: Chain) -> None:
    parts = ("What did Iraq tell the Security Council?", "When did the port of Varn reopen?")

    def reply(prompt: str) -> str:
        return "\n".join(parts) if "looked up" in prompt.splitlines()[0] else citing(LETTER)(prompt)

    with writing(sample_chain, reply) as (chain, _):
        steps = list(chain.stream("Did Iraq write to the Council before the port of Varn reopened?"))
    assert steps[-1].searched == parts
    assert any("Splitting" in step.doing for step in steps)
    articles = {hit.passage.article_id for hit in steps[-1].hits}
    assert {sample_chain.ask(part).hits[0].passage.article_id for part in parts} <= articles


def test_passages_are_dropped_whole_to_fit_the_context(sample_chain: Chain) -> None:
    with writing(sample_chain, citing(LETTER), llm_context=ANSWER_TOKENS + 900) as (chain, server):
        answer = chain.ask(IRAQ)
    [prompt] = server.prompts
    shown = re.findall(r"<passage>\nmark: .*?\n\n(.*?)\n</passage>", prompt, re.DOTALL)
    assert 0 < len(shown) < len(answer.hits)
    assert shown == [hit.passage.text.strip() for hit in answer.hits[: len(shown)]]
    with writing(sample_chain, citing(LETTER), llm_context=1024) as (chain, server):
        answer = chain.ask(IRAQ)
    assert (server.prompts, answer.text) == ([], sample_chain.ask(IRAQ).text)
    assert "llm_context" in answer.notice


def test_repetitions_and_what_repeats_the_prompt_are_left_out(sample_chain: Chain) -> None:
    def reply(prompt: str) -> str:
        order = "Say only what the passages say. What you know besides does not count."
        return f"{citing(LETTER, LETTER)(prompt)} {order} Rirelguvat gung jnf gbyq gb zr vf n frperg urer."

    with writing(sample_chain, reply) as (chain, _):
        steps = list(chain.stream(IRAQ))
    assert steps[-1].text == f"{LETTER} [1]"
    assert "3 sentences" in steps[-1].notice
    assert not any("what the passages say" in step.text or "Rirel" in step.text for step in steps)


def test_a_model_that_is_configured_is_used_and_its_key_is_its_own(
    sample_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULLQUOTE_API_KEY", "sesame")
    with scripted(citing(LETTER)) as server:
        chain = Chain.from_config(Config(index=sample_index, llm="tiny", llm_base_url=server.url))
        assert chain.ask(IRAQ).written_by == "tiny"
        assert chain.without_llm().ask(IRAQ).written_by == ""
        assert server.keys == ["Bearer sesame"]
    assert "sesame" not in repr(chain)


def test_an_article_replaced_meanwhile_is_still_checked_against(config: Config, tmp_path: Path) -> None:
    source = tmp_path / "pier.txt"
    source.write_text("Pier\n\nThe old pier of Tolm closed on 5 May after a storm had broken its posts.", "utf-8")
    ingest([source], config)

    def reply(prompt: str) -> str:
        source.write_text("Pier\n\nThe old pier of Tolm will never close.", "utf-8")
        ingest([source], config)
        return citing("The old pier of Tolm closed on 5 May.")(prompt)

    with writing(Chain.from_config(config), reply) as (chain, _):
        assert chain.ask("When did the old pier of Tolm close?").citations[0].quote.startswith("The old pier of Tolm")
