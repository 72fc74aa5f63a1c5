"""Fits the confidence curve: `python -m eval.train.confidence FOLDER…` (articles.jsonl and pairs.jsonl in each).

Every corpus is asked its own questions and those of the others, which it cannot answer. Half of the pairs (by a hash
of their ids) are for fitting, the table is of the other half. Unanswerable pairs that were written to look answerable
weigh less, since readers ask in good faith. Writes rag/retrieval/confidence.json.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from eval.metrics import score
from eval.pairs.reading import ArticleNames, asking_day, read_pairs
from eval.pairs.schema import QAPair
from eval.rows import Row
from ingest import ingest
from rag.answer.citations import cite
from rag.chain import Chain
from rag.config import Config
from rag.retrieval.confidence import FITTED, Confidence, Features, features_of
from rag.retrieval.scoring import QuestionProfile
from rag.schema import Answer

OWN, FOREIGN, NEAR_MISS = "its own", "of others", "near misses"
MAX_PAIRS = 600
"""Pairs of one set; more cost time and change the curve little."""
NEAR_MISS_WEIGHT = 0.5
RIDGE = 0.05
SAME_DIRECTION = (0.0, None)
"""Bounds of a weight: features only count for an answer, or peculiarities of the corpora are fitted."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Example:
    """A question asked to a corpus; `right` if it is the corpus's own and the answer is right."""

    corpus: str
    kind: str
    features: Features
    right: bool
    held_out: bool


def ask_all(folders: Sequence[Path]) -> Iterator[Example]:
    """Ask every corpus its own questions and the others'."""
    pairs = {folder: _sample(folder) for folder in folders}
    for folder in folders:
        with tempfile.TemporaryDirectory() as index:
            config = Config(index=Path(index))
            ingest([folder / "articles.jsonl"], config)
            chain = Chain.from_config(config)
            names = ArticleNames.of(chain.index.articles())
            share = MAX_PAIRS // len(folders)
            foreign = [pair for other in folders if other != folder for pair in pairs[other][:share]]
            for pair in pairs[folder]:
                own = replace(pair, articles=names.to_ids(pair.articles))
                yield _example(chain, folder.name, own, OWN if pair.answerable else NEAR_MISS)
            for pair in foreign:
                yield _example(chain, folder.name, pair, FOREIGN)


def fit(examples: Sequence[Example]) -> Confidence:
    """Weighted logistic regression with a small ridge penalty and bounded weights."""
    features = np.array([astuple(example.features) for example in examples])
    right = np.array([example.right for example in examples], dtype=float)
    mass = np.array([NEAR_MISS_WEIGHT if example.kind == NEAR_MISS else 1.0 for example in examples])

    def loss(parameters: Floats) -> float:
        z = parameters[0] + features @ parameters[1:]
        return float((mass * (np.logaddexp(0, z) - right * z)).sum() + RIDGE * (parameters[1:] ** 2).sum())

    bounds = [(None, None), *[SAME_DIRECTION] * features.shape[1]]
    best = minimize(loss, np.zeros(len(bounds)), method="L-BFGS-B", bounds=bounds).x
    return Confidence(round(float(best[0]), 3), Features(*(round(float(weight), 3) for weight in best[1:])))


def table(examples: Sequence[Example], curve: Confidence, threshold: float) -> Iterator[str]:
    """Lines of a table: shares answered and right by group, then confidence against the share right."""
    for corpus, kind in sorted({(example.corpus, example.kind) for example in examples}):
        group = [example for example in examples if (example.corpus, example.kind) == (corpus, kind)]
        answered = [example for example in group if curve.of(example.features) >= threshold]
        right = sum(example.right for example in group) / len(group)
        yield f"{corpus:<12} {kind:<12} n={len(group):<4} answered {len(answered) / len(group):.2f}  right {right:.2f}"
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        band = [example for example in examples if low <= curve.of(example.features) < low + 0.2]
        if band:
            mean = sum(curve.of(example.features) for example in band) / len(band)
            yield f"confidence {mean:.2f}: right {sum(e.right for e in band) / len(band):.2f} of {len(band)}"


def main() -> None:
    """Fit the curve on the folders of the command line, write it, and print its table."""
    folders = [Path(argument) for argument in sys.argv[1:]]
    asked = list(ask_all(folders))
    curve = fit([example for example in asked if not example.held_out])
    fitted = {
        "intercept": curve.intercept,
        "weights": dict(zip(Features.__slots__, astuple(curve.weights), strict=True)),
    }
    Path(str(files("rag.retrieval").joinpath(FITTED))).write_text(json.dumps(fitted, indent=1) + "\n", "utf-8")
    lines = table([example for example in asked if example.held_out], curve, Config().min_confidence)
    sys.stdout.writelines(f"{line}\n" for line in lines)


def _sample(folder: Path) -> list[QAPair]:
    """A sample of a set's pairs; follow-ups are replaced by their rewritten question."""
    entries = read_pairs(folder / "pairs.jsonl")
    pairs = [replace(p, question=p.rewrite or p.question) for p in entries if isinstance(p, QAPair)]
    pairs = [pair for pair in pairs if pair.rewrite or not pair.history]
    random.Random(1).shuffle(pairs)
    return pairs[:MAX_PAIRS]


def _example(chain: Chain, corpus: str, pair: QAPair, kind: str) -> Example:
    fulltext = chain.index.fulltext
    hits = chain.retrieve(pair.question, **asking_day(pair))
    drafts = deque(chain.generator.generate(pair.question, hits), maxlen=1)
    cited = cite([statement for draft in drafts for statement in draft.statements])
    answer = Answer(pair.question, cited.text, cited.citations, tuple(hits), grounded=True, confidence=1.0)
    scores = score(pair, Row.of(pair, answer, chain.index, run=""))
    features = features_of(QuestionProfile.of(pair.question, fulltext), hits, fulltext)
    held_out = zlib.crc32(pair.id.encode()) % 2 == 1
    return Example(corpus, kind, features, kind == OWN and scores["right"] == 1, held_out)


if __name__ == "__main__":
    main()
