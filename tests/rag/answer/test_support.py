"""Which evidence supports a claim, and which claims are unsupported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from ingest import ingest
from rag.answer.support import Checker, Premise, Verdict
from rag.chain import Chain
from rag.config import Config
from rag.errors import ModelError
from rag.models.cross_encoders import load_entailment
from rag.schema import Passage
from rag.store.derived.fulltext import FullTextIndex

pytestmark = pytest.mark.slow

PIER = [
    "The old pier of Tolm closed on 5 May after a storm had broken nine of its posts.",
    "Its owner, Ada Moor, said that the repair will cost three million crowns.",
    "She did not say who is to pay for it.",
    "The town had bought the pier from a tea merchant in 1911.",
]
FERRY = ["The ferry to Varn stopped in May because its engine had burned.", "It carried 40,000 people last year."]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    folder = tmp_path_factory.mktemp("support")
    for name, sentences in (("pier", PIER), ("ferry", FERRY)):
        (folder / f"{name}.txt").write_text(f"The {name} at Tolm\n\n{' '.join(sentences)}", "utf-8")
    config = Config(index=folder / "index")
    ingest([folder / "pier.txt", folder / "ferry.txt"], config)
    return Chain.from_config(config)


@pytest.fixture(scope="module")
def passages(chain: Chain) -> dict[str, Passage]:
    hits = chain.retrieve("pier ferry Tolm")
    return {hit.passage.title.split()[1]: hit.passage for hit in hits}


def check(chain: Chain, passages: dict[str, Passage], text: str, *cited: str) -> Verdict:
    checker = Checker(chain.index, chain.retriever.embedder)
    return checker.check(text, checker.premises(list(passages.values())), {passages[name].id for name in cited})


def quotes(found: Verdict) -> list[str]:
    return [quote.text for quote in found.quotes]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("The pier of Tolm closed on 5 May after a storm.", PIER[0]),
        ("A storm had broken nine posts of the old pier.", PIER[0]),
        ("Ada Moor said the repair will cost 3 million crowns.", PIER[1]),
        ("She did not say who is to pay.", PIER[2]),
        ("In 1911 the town bought the pier from a merchant of tea.", PIER[3]),
    ],
)
def test_a_paraphrase_is_supported(chain: Chain, passages: dict[str, Passage], text: str, sentence: str) -> None:
    found = check(chain, passages, text, "pier")
    assert quotes(found) == [sentence]
    assert 0.6 <= found.support <= 1
    [quote] = found.quotes
    article = chain.index.article(passages["pier"].article_id)
    assert article is not None
    assert article.text[quote.start : quote.end] == sentence


@pytest.mark.parametrize(
    "text",
    [
        "The old pier of Varnmouth closed on 5 May after a storm.",
        "The pier of Tolm closed on 6 May after a storm.",
        "The pier of Tolm closed on 5 May 2024 after a storm.",
        "Ben Orr said that the repair will cost three million crowns.",
        "Ankara said that the repair will cost three million crowns.",
        "Alan Tarr said that the repair will cost three million crowns.",
        "Ada Moor said that the repair will cost four million crowns.",
        "Ada Moor said that the repair will not cost three million crowns.",
        "She said who is to pay for it.",
        "The old pier closed after a storm, and the mayor has left the town for ever.",
        "The moon is made of cheese.",
        "",
    ],
)
def test_unsupported_claims(chain: Chain, passages: dict[str, Passage], text: str) -> None:
    assert check(chain, passages, text, "pier", "ferry") == Verdict()


def test_neighbouring_sentences_are_one_quote_if_both_are_needed(chain: Chain, passages: dict[str, Passage]) -> None:
    text = "The pier closed on 5 May after a storm, and Ada Moor said that the repair will cost three million crowns."
    assert quotes(check(chain, passages, text, "pier")) == [f"{PIER[0]} {PIER[1]}"]


def test_two_passages_support_a_claim_together(chain: Chain, passages: dict[str, Passage]) -> None:
    text = (
        "The pier of Tolm closed on 5 May after a storm, and the ferry to Varn stopped because its engine had burned."
    )
    assert quotes(check(chain, passages, text, "pier", "ferry")) == [PIER[0], FERRY[0]]


def test_an_uncited_passage_counts_only_if_its_support_is_clear(chain: Chain, passages: dict[str, Passage]) -> None:
    clear = "The ferry to Varn stopped in May because its engine had burned out."
    assert quotes(check(chain, passages, clear)) == quotes(check(chain, passages, clear, "pier")) == [FERRY[0]]
    vague = "The engine of some ferry burned and it stopped its course for good."
    assert check(chain, passages, vague) == Verdict()


def test_passages_gone_from_the_index_are_embedded_again(chain: Chain, passages: dict[str, Passage]) -> None:
    gone = {name: replace(passage, id=f"{passage.id}-gone") for name, passage in passages.items()}
    assert quotes(check(chain, gone, "The pier of Tolm closed on 5 May after a storm.", "pier")) == [PIER[0]]


@dataclass
class Opinion:
    """A fake entailment model."""

    probability: float

    def entails(self, texts: Sequence[str], sentence: str) -> list[float]:
        assert texts == [PIER[0]]
        return [self.probability]


@pytest.mark.parametrize(("probability", "agreed"), [(0.9, True), (0.1, False)])
def test_the_entailment_model_has_to_agree(
    chain: Chain, passages: dict[str, Passage], probability: float, agreed: bool
) -> None:
    checker = Checker(chain.index, chain.retriever.embedder, Opinion(probability))
    premises = checker.premises(list(passages.values()))
    found = checker.check("The pier of Tolm closed on 5 May after a storm.", premises, {passages["pier"].id})
    assert bool(found.quotes) == agreed


def saved_cross_encoder(folder: Path, labels: list[str]) -> str:
    """A tiny model with random weights."""
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    from rag.config import PACKAGED_MODEL
    from rag.models.model_files import model_path

    tokenizer = AutoTokenizer.from_pretrained(model_path(PACKAGED_MODEL))
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=16,
        id2label=dict(enumerate(labels)),
        label2id={label: n for n, label in enumerate(labels)},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("labels", [["contradiction", "ENTAILMENT", "neutral"], ["LABEL_0"]])
def test_a_cross_encoder_gives_probabilities(tmp_path: Path, labels: list[str]) -> None:
    model = load_entailment(saved_cross_encoder(tmp_path, labels))
    assert model is not None
    found = model.entails(["Tea is hot.", "Ice is cold."], "It is hot.")
    assert len(found) == 2
    assert all(0 < probability < 1 for probability in found)


def test_invalid_entailment_models(tmp_path: Path) -> None:
    assert load_entailment("") is None
    with pytest.raises(ModelError, match="no label 'entailment'"):
        load_entailment(saved_cross_encoder(tmp_path, ["good", "bad"]))
    with pytest.raises(ModelError, match="support model"):
        load_entailment(str(tmp_path / "nothing"))


def test_a_heading_separates_evidence() -> None:
    text = "It was shut. Fees\nIt costs ten. • It is old."
    spans = ((0, 12), (18, 31), (34, 44))
    whole = Passage("a#0", "a", "d", 0, 0, len(text), text, spans, "", "", "", "", None)
    premise = Premise.of(whole, np.zeros((3, 2), np.float32), FullTextIndex())
    assert [span.quote.text for span in premise.spans()] == [*(text[a:b] for a, b in spans), text[18:44]]
