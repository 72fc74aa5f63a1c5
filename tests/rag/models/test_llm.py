"""A language model over HTTP: its reply as it arrives, and the errors if it does not."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage

import rag.models.llm
import rag.models.responses
from rag.errors import ModelError
from rag.models.llm import MAX_PIECE, MAX_REASONING, MAX_REPLY, LanguageModel, Usage
from rag.models.llm_errors import llm_errors
from rag.models.prompts import Prompt
from rag.models.servers import load_llm, local_llms
from tests.support.llm_server import BREAK, Refused, Reply, scripted

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_settings")]

ASKED = Prompt("Be brief.", "How is tea?")
REASONING = [{"role": "assistant"}, {"reasoning_content": "Hm."}, "Tea ", {"tool_calls": []}, "is hot."]
CHOICE = b'{"index": 0, "delta": {"content": "T"}}'
UNENDED = b'data: {"id": "1", "object": "x", "created": 1, "model": "m", "choices": [' + CHOICE + b"]}\n\n"
NO_ROOM = UNENDED.replace(b'"content": "T"}', b'"content": "T"}, "finish_reason": "length"')


@pytest.mark.parametrize("ollama", [False, True])
def test_words_come_one_by_one_before_the_end(ollama: bool) -> None:
    proceed = threading.Event()

    def reply(_: str) -> Iterator[str]:
        yield "Tea "
        assert proceed.wait(30)
        yield "is hot."

    with scripted(reply, ollama=ollama) as server:
        model = load_llm("tiny", server.url, context=3000)
        with closing(model.write(ASKED)) as pieces:
            assert next(filter(None, pieces)) == "Tea "
            proceed.set()
            assert "".join(pieces) == "is hot."
    [asked] = server.requests
    assert [message["content"] for message in asked["messages"]] == ["Be brief.", "How is tea?"]
    assert asked["path"] == ("/api/chat" if ollama else "/v1/chat/completions")
    assert asked.get("options", {}).get("num_ctx") == (3000 if ollama else None)
    assert model.usage.calls == 1


def test_reasoning_roles_and_tool_calls_are_not_text() -> None:
    with scripted(lambda _: REASONING) as server:
        assert load_llm("tiny", server.url).complete(ASKED) == "Tea is hot."


@pytest.mark.parametrize("ollama", [False, True])
@pytest.mark.parametrize("first", [Refused(429, "1"), 500, 503])
def test_temporary_failures_are_retried(first: Reply, ollama: bool) -> None:
    replies: list[Reply] = [first, "Tea is hot."]
    with scripted(lambda _: replies.pop(0), ollama=ollama) as server:
        assert load_llm("tiny", server.url).complete(ASKED) == "Tea is hot."


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (401, "PULLQUOTE_API_KEY"),
        (403, "PULLQUOTE_API_KEY"),
        (404, "correct its name"),
        (400, "llm_context"),
        (Refused(429, "0.1"), "wait a while"),
        (["Tea", BREAK], "broke off"),
        ([UNENDED, BREAK], "broke off"),
        ([b"data: {not json\n\n"], "/v1"),
        ([b'data: {"error": {"message": "sesame is not allowed"}}\n\n'], "broke off"),
        ([b'data: {"choices": null}\n\n'], "/v1"),
        ([b'data: {"choices": [{"index": 0, "delta": null}]}\n\n'], "/v1"),
        ([{"content": 5}], "/v1"),
        ([{"role": "king", "content": "Tea"}], "/v1"),
        ([{"tool_calls": [{"index": 0}]}, {"tool_calls": [{"index": 0}]}], "/v1"),
        ([b"data: \xff\n\n"], "/v1"),
        ([b"data: " + b"[" * 200_000 + b"\n\n"], "/v1"),
        ([*[{"reasoning_content": "Hm."}] * 2, BREAK], "broke off"),
        ([BREAK], "/v1"),
        (b"", "/v1"),
        (b"[]", "/v1"),
        (b"<html>Welcome, sesame</html>", "/v1"),
        ([NO_ROOM, BREAK], "does not fit into its context; raise llm_context"),
        ([2], "sent nothing for 1 seconds"),
    ],
)
def test_errors_say_what_to_do_and_do_not_show_the_key(
    reply: Reply, why: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    seconds = 1 if reply == [2] else 30
    with scripted(lambda _: reply) as server:
        model = load_llm("tiny", server.url, "sesame", seconds=seconds)
        with pytest.raises(ModelError, match=why) as caught:
            model.complete(ASKED)
    assert server.keys[0] == "Bearer sesame"
    told = "".join(traceback.format_exception(caught.value)) + "".join(capfd.readouterr())
    assert "sesame" not in told + str([record.getMessage() for record in caplog.records if record.levelno > 10])
    assert "sesame" not in repr(model)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (401, "PULLQUOTE_API_KEY"),
        (["Tea", BREAK], "broke off"),
        (["Tea", b'{"error": "sesame is not allowed"}\n'], "broke off"),
        ([{"thinking": "Hm."}, BREAK], "broke off"),
        (b"", "/v1"),
        (b"[]", "/v1"),
        (b"[" * 200_000, "/v1"),
        (b'{"message": 5}', "/v1"),
        (b'{"error": "5"}', "broke off"),
        (b"<html>Welcome, sesame</html>", "/v1"),
        ([2], "sent nothing for 1 seconds"),
    ],
)
def test_errors_of_ollamas_own_protocol(reply: Reply, why: str) -> None:
    with scripted(lambda _: reply, ollama=True) as server:
        model = load_llm("tiny", server.url, "sesame", seconds=1 if reply == [2] else 30)
        with pytest.raises(ModelError, match=why) as caught:
            model.complete(ASKED)
    assert "sesame" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("ollama", [False, True])
def test_a_reply_may_be_empty(ollama: bool) -> None:
    with scripted(lambda _: "", ollama=ollama) as server:
        assert load_llm("tiny", server.url).complete(ASKED) == ""


@pytest.mark.parametrize("ollama", [False, True])
def test_text_before_a_break_is_yielded_before_the_error(ollama: bool) -> None:
    with scripted(lambda _: ["Tea ", "is", BREAK], ollama=ollama) as server:
        words = filter(None, load_llm("tiny", server.url).write(ASKED))
        assert [next(words), next(words)] == ["Tea ", "is"]
        with pytest.raises(ModelError, match="broke off"):
            next(words)


def test_a_server_that_does_not_answer() -> None:
    with scripted(lambda _: "") as server:
        pass
    with pytest.raises(ModelError, match="start its server"):
        load_llm("tiny", server.url).complete(ASKED)


THOUGHT = {False: "reasoning_content", True: "thinking"}


@pytest.mark.parametrize("ollama", [False, True])
@pytest.mark.parametrize("pieces", [["Tea. "] * 5_000, ["Tea. " * 5_000], ["x" * 10_000_000], ["[" * 200_000]])
def test_a_reply_is_limited_by_its_characters(pieces: list[str], ollama: bool) -> None:
    words = []
    with scripted(lambda _: pieces, ollama=ollama) as server:
        with pytest.raises(ModelError, match="does not come to an end"):
            words.extend(load_llm("tiny", server.url).write(ASKED))
        assert len(server.prompts) == 1
    assert "".join(words) == "".join(pieces)[:MAX_REPLY]
    assert max(map(len, words)) <= MAX_PIECE


@pytest.mark.parametrize("ollama", [False, True])
@pytest.mark.parametrize("size", [400, 1_000_000])
def test_reasoning_is_limited_by_its_characters(size: int, ollama: bool) -> None:
    thought = {THOUGHT[ollama]: "x" * size}
    thoughts = [thought] * (MAX_REASONING // size + 3)
    with scripted(lambda _: thoughts, ollama=ollama) as server, pytest.raises(ModelError, match="not come to an end"):
        load_llm("tiny", server.url).complete(ASKED)


def test_many_short_pieces_are_a_reply() -> None:
    with scripted(lambda _: ["T", *"ea. " * 1_000]) as server:
        assert load_llm("tiny", server.url).complete(ASKED) == "T" + "ea. " * 1_000


@pytest.mark.parametrize("ollama", [False, True])
@pytest.mark.parametrize("junk", [{"role": "assistant"}, b": still here\n" * 100, b" " * 1_000])
def test_other_content_is_limited_too(junk: Any, ollama: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rag.models.responses, "MAX_BYTES", 100_000)

    def reply(_: str) -> Iterator[Any]:
        while True:
            yield b"\n" if ollama and isinstance(junk, bytes) else junk

    with scripted(reply, ollama=ollama) as server, pytest.raises(ModelError, match=r"come to an end|/v1"):
        load_llm("tiny", server.url).complete(ASKED)


@pytest.mark.parametrize("ollama", [False, True])
@pytest.mark.parametrize(("status", "host"), [(301, "127.0.0.1"), (307, "127.0.0.1"), (308, "localhost")])
def test_a_redirect_to_another_server_is_not_followed(status: int, host: str, ollama: bool) -> None:
    with scripted(lambda _: "Tea", ollama=ollama) as other:
        target = other.url.replace("127.0.0.1", host)
        with scripted(lambda _: Refused(status, location=target), ollama=ollama) as server:
            with pytest.raises(ModelError, match=r"redirects to another server \(HTTP 30\d\); .*--llm-url"):
                load_llm("tiny", server.url, "sesame").complete(ASKED)
            assert len(server.prompts) == 1
    assert (other.prompts, other.keys) == ([], [])


@pytest.mark.parametrize("ollama", [False, True])
def test_a_redirect_within_the_same_server_is_followed(ollama: bool) -> None:
    path = "/api/chat" if ollama else "/v1/chat/completions"
    replies: list[Reply] = [Refused(307, location=path), Refused(308, location="elsewhere"), "Tea is hot."]
    with scripted(lambda _: replies.pop(0), ollama=ollama) as server:
        assert load_llm("tiny", server.url).complete(ASKED) == "Tea is hot."
    assert server.requests[-1]["path"] == path.rpartition("/")[0] + "/elsewhere"


@pytest.mark.parametrize("ollama", [False, True])
@pytest.mark.parametrize("said", [b"[]", b"{", b"5", b"[" * 200_000, b'{"choices": [], "message": null}'])
def test_invalid_complete_replies_are_errors(said: bytes, ollama: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.models.servers.LLM_RETRIES", 0)

    async def ask(model: LanguageModel) -> None:
        client = model.client()
        try:
            await client.llm.achat([ChatMessage("How is tea?")])
        finally:
            await client.aclose()

    with scripted(lambda _: said, ollama=ollama) as server:
        model = load_llm("tiny", server.url)
        with pytest.raises(ModelError, match="/v1"), llm_errors(model.name):
            asyncio.run(ask(model))


def test_our_own_mistakes_are_not_reported_as_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(raw: object) -> str:
        raise TypeError("our own mistake")

    monkeypatch.setattr(rag.models.llm, "_finish_reason", mistaken)
    with scripted(lambda _: "Tea") as server, pytest.raises(TypeError, match="our own mistake"):
        load_llm("tiny", server.url).complete(ASKED)


@pytest.mark.parametrize("pieces", [["Tea ", 60, "is hot."], [60, "Tea is hot."]])
def test_closing_ends_the_request_even_of_a_silent_model(pieces: list[Any]) -> None:
    with scripted(lambda _: pieces) as server:
        with closing(load_llm("tiny", server.url).write(ASKED)) as words:
            next(words)
            until = time.monotonic() + 20
            while not server.prompts and time.monotonic() < until:
                next(words)
        until = time.monotonic() + 20
        while not server.broken_off and time.monotonic() < until:
            time.sleep(0.02)
        assert server.broken_off == 1


def test_two_replies_at_once() -> None:
    with scripted(lambda prompt: [prompt[-5:], 0.3, "!"]) as server, ThreadPoolExecutor(2) as pool:
        model = load_llm("tiny", server.url)
        replies = pool.map(lambda word: model.complete(Prompt("", f"Say {word}")), ["black", "green"])
        assert list(replies) == ["black!", "green!"]
    assert model.usage.calls == 2


def test_no_proxy_is_used_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with scripted(lambda _: "Tea is hot.", models=["tiny"]) as server:
        assert load_llm("tiny", server.url).complete(ASKED) == "Tea is hot."
        monkeypatch.setattr("rag.models.servers.LOCAL_LLMS", (server.url,))
        assert local_llms() == [("tiny", server.url)]


def test_models_of_this_machine_are_only_what_servers_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(lambda _: "") as gone:
        pass
    with scripted(lambda _: "", models=["a", "", "b\x1b[31m"]) as one, scripted(lambda _: "", models=[]) as none:
        monkeypatch.setattr("rag.models.servers.LOCAL_LLMS", (gone.url, one.url, none.url, f"{one.url}/nowhere"))
        assert local_llms() == [("a", one.url)]


def test_only_the_configured_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-somebody-elses")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://203.0.113.1/")
    monkeypatch.setenv("OLLAMA_API_KEY", "somebody-elses")
    for ollama in (False, True):
        with scripted(lambda _: "Tea is hot.", ollama=ollama) as server:
            model = load_llm("tiny", server.url)
            assert model.complete(Prompt("", "How is tea?")) == "Tea is hot."
        assert model.usage.calls == 1
        assert model.usage.prompt_tokens > 3
        assert (server.keys, server.prompts) == (["Bearer none"], ["How is tea?"])
    assert Usage(1, 10, 2) + Usage(1, 1, 1) == Usage(2, 11, 3)


@pytest.mark.parametrize("key", ["sesame", " sesame\n"])
def test_a_key_is_sent_without_the_space_around_it(key: str) -> None:
    with scripted(lambda _: "Tea is hot.") as server:
        load_llm("tiny", server.url, key).complete(ASKED)
    assert server.keys == ["Bearer sesame"]


@pytest.mark.parametrize("key", ["ses\name", "ses\x00ame", "sésame"])
def test_the_error_of_an_invalid_key_does_not_show_it(key: str) -> None:
    with pytest.raises(ModelError, match=r"PULLQUOTE_API_KEY has characters that no key has; copy it again$"):
        load_llm("tiny", "http://127.0.0.1:9/v1", key)


class Endless(BaseHTTPRequestHandler):
    """Sends another space now and then, for as long as somebody listens."""

    left = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            while not self.left.wait(0.2):
                self.wfile.write(b" ")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its base class calls it so
        pass


def test_a_server_that_sends_forever_is_not_a_model_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ending = threading.Timer(20, Endless.left.set)
        ending.start()
        monkeypatch.setattr("rag.models.servers.LOCAL_LLMS", (f"http://127.0.0.1:{server.server_port}/v1",))
        assert local_llms() == []
        assert not Endless.left.is_set(), "it was given up before its end"
        ending.cancel()
        Endless.left.set()
        server.shutdown()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:11434",
        "file:///etc/passwd",
        "http://",
        "http://[::1",
        "ftp://a/v1",
        "http://a:99999/v1",
        "http://a:0/v1",
    ],
)
def test_invalid_addresses(url: str) -> None:
    with pytest.raises(ModelError, match="http://localhost:11434/v1"):
        load_llm("tiny", url)
