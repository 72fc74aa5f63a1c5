"""Labelling of pairs by a person: reads drafts, checks them, writes accepted and rejected pairs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from eval.pairs.datasets import is_json
from eval.pairs.reading import ArticleNames, find_quote, pair_json, parse_pair, read_entries, repeated_id
from eval.pairs.schema import QAPair
from rag.chain import LONGEST_QUESTION
from rag.errors import ReadError
from rag.feedback import is_feedback, latest, pair_fields, verdict
from rag.schema import Article, Failure
from rag.store.index import Index


@dataclass(frozen=True, slots=True)
class Draft:
    """A pair to accept or reject. `said` is the chat's answer, `verdict` its reader's opinion, if there is one."""

    pair: QAPair
    said: str = ""
    verdict: str = ""

    def with_article_ids(self, names: ArticleNames) -> Draft:
        """The draft with the ids of its articles; names unknown to the index are kept."""
        return replace(self, pair=replace(self.pair, articles=names.to_ids(self.pair.articles)))


def read_drafts(path: Path) -> Iterator[Draft | Failure]:
    """The pairs of a file, or of a chat's feedback (rag/feedback.py). Raises ReadError as `read_pairs` does.

    A pair that repeats an id is a failure.
    """
    seen: set[str] = set()
    for where, entry in latest(read_entries(path)):
        draft = _draft(entry, where)
        if isinstance(draft, Draft):
            yield repeated_id(draft.pair) if draft.pair.id in seen else draft
            seen.add(draft.pair.id)
        else:
            yield draft


def _draft(entry: Any, where: str) -> Draft | Failure:
    feedback = is_feedback(entry)
    try:
        pair = parse_pair(where, pair_fields(entry) if feedback else entry)
    except (TypeError, KeyError):
        return Failure(where, 'has citations that are not a list of {"article": …, "quote": …}; correct or delete it')
    if isinstance(pair, Failure):
        return pair
    if not feedback:
        return Draft(pair)
    return Draft(replace(pair, answerable=True), str(entry.get("answer") or ""), verdict(entry))


@dataclass(frozen=True, slots=True)
class CheckedPair:
    """A pair with its evidence as the articles spell it, and the problems that prevent its acceptance."""

    pair: QAPair
    problems: tuple[str, ...]


def check(pair: QAPair, index: Index) -> CheckedPair:
    """Check a pair; its evidence has to be in its articles word for word, with any spacing."""
    articles = {article_id: index.article(article_id) for article_id in pair.articles}
    problems = [f"The article {article_id!r} is not in the index." for article_id, a in articles.items() if not a]
    quotes = {quote: _exact(quote, list(filter(None, articles.values()))) for quote in pair.evidence}
    if pair.articles:
        missing = [quote for quote, exact in quotes.items() if not exact]
        problems += [f"This is not in the article, word for word: {quote}" for quote in missing]
    rules = {
        "The question is empty.": not pair.question.strip(),
        f"The question has more than {LONGEST_QUESTION:,} characters.": len(pair.question) > LONGEST_QUESTION,
        "Write an answer, or say that the articles do not have one.": pair.answerable and not pair.answers,
        "Name the article with the answer.": pair.answerable and not pair.articles,
        "Copy the sentence with the answer from its article.": pair.answerable and not pair.evidence,
    }
    problems += [problem for problem, applies in rules.items() if applies]
    evidence = tuple(exact or quote for quote, exact in quotes.items())
    return CheckedPair(replace(pair, evidence=evidence), tuple(problems))


def _exact(quote: str, articles: list[Article]) -> str:
    spans = ((article.text, find_quote(article.text, quote)) for article in articles)
    return next((text[slice(*span)] for text, span in spans if span), "")


@dataclass(slots=True)
class Labels:
    """The decisions, each written to disk at once: accepted pairs in one file, rejected pairs in another."""

    accepted: Path
    rejected: Path
    decided: set[str] = field(default_factory=set)
    counts: dict[Path, int] = field(default_factory=dict)
    _last: list[tuple[Path, int, bytes, QAPair]] = field(default_factory=list)

    @classmethod
    def beside(cls, drafts: Path) -> Labels:
        """The decisions in <name>.labelled.jsonl and <name>.rejected.jsonl beside the drafts.

        Raises ReadError if they cannot be read and written.
        """
        labels = cls(drafts.with_suffix(".labelled.jsonl"), drafts.with_suffix(".rejected.jsonl"))
        for path in (labels.accepted, labels.rejected):
            try:
                ids = _ids(path)
            except OSError as error:
                raise ReadError(f"cannot write decisions to {path} ({error.strerror}); move the drafts") from error
            labels.counts[path] = len(ids)
            labels.decided.update(ids)
        return labels

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from labelling the same drafts. Raises ReadError if one does already."""
        try:
            with FileLock(f"{self.accepted}.lock", blocking=False):
                yield
        except Timeout as error:
            raise ReadError(f"{self.accepted} is in use by another labelling page; stop that one first") from error

    def add(self, pair: QAPair, *, accept: bool) -> None:
        """Write a decision. Raises ReadError if that fails, and leaves the files unchanged."""
        path = self.accepted if accept else self.rejected
        line = f"{json.dumps(pair_json(pair), ensure_ascii=False)}\n".encode("utf-8", "replace")
        start = path.stat().st_size if path.exists() else 0
        try:
            with path.open("ab") as file:
                file.write(line)
        except OSError as error:
            if path.exists():
                os.truncate(path, start)
            raise ReadError(f"cannot write to {path} ({error.strerror}); free some disk space, and retry") from error
        self._last.append((path, start, line, pair))
        self.counts[path] += 1
        self.decided.add(pair.id)

    def undo(self) -> QAPair | None:
        """Undo this session's last decision; returns its pair, or None if there is none.

        Raises ReadError if the file has changed since.
        """
        if not self._last:
            return None
        path, start, line, pair = self._last[-1]
        try:
            with path.open("r+b") as file:
                file.seek(start)
                if file.read() != line:
                    raise ReadError(f"{path} has changed since; undo the decision there")
                file.truncate(start)
        except OSError as error:
            raise ReadError(f"cannot write to {path} ({error.strerror}); undo the decision there") from error
        self._last.pop()
        self.counts[path] -= 1
        self.decided.discard(pair.id)
        return pair


def _ids(path: Path) -> list[str]:
    """The ids in a file of decisions, which is created if missing; an incomplete last line is dropped."""
    with path.open("a+b") as file:
        file.seek(0)
        *lines, last = file.read().split(b"\n")
        ids = [_id(path, line) for line in lines if line.strip()]
        if last.startswith(b'{"id"') and not is_json(last):  # cut off while it was being written
            file.truncate(sum(len(line) + 1 for line in lines))
        elif last.strip():
            ids.append(_id(path, last))
            file.write(b"\n")
    return ids


def _id(path: Path, line: bytes) -> str:
    try:
        return str(json.loads(line)["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise ReadError(f"{path} has a line that is not a pair ({error!r}); correct or delete it") from error
