"""Pairs that a person is to decide on: drafts in, accepted and rejected pairs out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from eval.pairs.datasets import is_json
from eval.pairs.reading import ArticleNames, find_quote, pair_json, parsed, read_entries, repeated
from eval.pairs.schema import QAPair
from rag.chain import LONGEST_QUESTION
from rag.errors import ReadError
from rag.feedback import is_feedback, latest, pair_fields, verdict
from rag.schema import Article, Failure
from rag.store.index import Index


@dataclass(frozen=True, slots=True)
class Draft:
    """A pair to decide on. `said` is what the chat answered, `verdict` what its reader made of that, if anything."""

    pair: QAPair
    said: str = ""
    verdict: str = ""

    def with_article_ids(self, names: ArticleNames) -> Draft:
        """The draft with its articles by id, as far as the index has them."""
        return replace(self, pair=replace(self.pair, articles=names.to_ids(self.pair.articles)))


def read_drafts(path: Path) -> Iterator[Draft | Failure]:
    """The pairs of a file, or of a chat's feedback (rag/feedback.py). Raises as `read_pairs`.

    A second one of an id is a failure.
    """
    seen: set[str] = set()
    for where, entry in latest(read_entries(path)):
        found = _from_feedback(entry, where) if is_feedback(entry) else _from_pair(entry, where)
        if isinstance(found, Draft):
            yield repeated(found.pair) if found.pair.id in seen else found
            seen.add(found.pair.id)
        else:
            yield found


def _from_pair(entry: Any, where: str) -> Draft | Failure:
    found = parsed(where, entry)
    return found if isinstance(found, Failure) else Draft(found)


def _from_feedback(entry: Mapping[str, Any], where: str) -> Draft | Failure:
    try:
        found = parsed(where, pair_fields(entry))
    except (TypeError, KeyError):
        return Failure(where, 'has citations that are no list of {"article": …, "quote": …}; mend or delete it')
    if isinstance(found, Failure):
        return found
    return Draft(replace(found, answerable=True), str(entry.get("answer") or ""), verdict(entry))


@dataclass(frozen=True, slots=True)
class CheckedPair:
    """A pair with its evidence in the articles' own letters, and what is to be mended before it can be accepted."""

    pair: QAPair
    problems: tuple[str, ...]


def check(pair: QAPair, index: Index) -> CheckedPair:
    """Look for the evidence in the pair's articles, where it has to stand word for word; spacing is free."""
    articles = {article_id: index.article(article_id) for article_id in pair.articles}
    found = [f"The article {article_id!r} is not in the index." for article_id, a in articles.items() if not a]
    quotes = {quote: _exact(quote, list(filter(None, articles.values()))) for quote in pair.evidence}
    if pair.articles:
        found += [f"This is not in the article, word for word: {quote}" for quote, exact in quotes.items() if not exact]
    if not pair.question.strip():
        found.append("The question is empty.")
    if len(pair.question) > LONGEST_QUESTION:
        found.append(f"The question has more than {LONGEST_QUESTION:,} characters.")
    if pair.answerable and not pair.answers:
        found.append("Write an answer, or say that the articles do not hold one.")
    if pair.answerable and not pair.articles:
        found.append("Name the article that holds the answer.")
    if pair.answerable and not pair.evidence:
        found.append("Copy the sentence that holds the answer from its article.")
    evidence = tuple(exact or quote for quote, exact in quotes.items())
    return CheckedPair(replace(pair, evidence=evidence), tuple(found))


def _exact(quote: str, articles: list[Article]) -> str:
    spans = ((article.text, find_quote(article.text, quote)) for article in articles)
    return next((text[slice(*span)] for text, span in spans if span), "")


@dataclass(slots=True)
class Labels:
    """The decisions, each on disk as soon as it is made: accepted pairs in one file, rejected ones in another."""

    accepted: Path
    rejected: Path
    decided: set[str] = field(default_factory=set)
    counts: dict[Path, int] = field(default_factory=dict)
    _last: list[tuple[Path, int, bytes, QAPair]] = field(default_factory=list)

    @classmethod
    def beside(cls, drafts: Path) -> Labels:
        """In <name>.labelled.jsonl and <name>.rejected.jsonl beside the drafts, with what is in them already.

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
        """Keeps other processes from deciding on the same drafts. Raises ReadError if one does already."""
        try:
            with FileLock(f"{self.accepted}.lock", blocking=False):
                yield
        except Timeout as error:
            raise ReadError(f"{self.accepted} is in use by another labelling; end that one first") from error

    def add(self, pair: QAPair, *, accept: bool) -> None:
        """Write a decision down. Raises ReadError if that fails; the files are then as they were."""
        path = self.accepted if accept else self.rejected
        line = f"{json.dumps(pair_json(pair), ensure_ascii=False)}\n".encode("utf-8", "replace")
        start = path.stat().st_size if path.exists() else 0
        try:
            with path.open("ab") as file:
                file.write(line)
        except OSError as error:
            if path.exists():
                os.truncate(path, start)
            raise ReadError(f"cannot write to {path} ({error.strerror}); make room, and decide again") from error
        self._last.append((path, start, line, pair))
        self.counts[path] += 1
        self.decided.add(pair.id)

    def undo(self) -> QAPair | None:
        """Take back this session's last decision; returns its pair as it was decided on, None if there is none.

        Raises ReadError if the file was changed by somebody else since.
        """
        if not self._last:
            return None
        path, start, line, pair = self._last[-1]
        try:
            with path.open("r+b") as file:
                file.seek(start)
                if file.read() != line:
                    raise ReadError(f"{path} was changed since; take the decision back there")
                file.truncate(start)
        except OSError as error:
            raise ReadError(f"cannot write to {path} ({error.strerror}); take the decision back there") from error
        self._last.pop()
        self.counts[path] -= 1
        self.decided.discard(pair.id)
        return pair


def _ids(path: Path) -> list[str]:
    """The ids in a file of decisions, made if it is missing; a last line that was cut off is dropped."""
    with path.open("a+b") as file:
        file.seek(0)
        *lines, last = file.read().split(b"\n")
        ids = [_id(path, line) for line in lines if line.strip()]
        if last.startswith(b'{"id"') and not is_json(last):  # cut off while it was written
            file.truncate(sum(len(line) + 1 for line in lines))
        elif last.strip():
            ids.append(_id(path, last))
            file.write(b"\n")
    return ids


def _id(path: Path, line: bytes) -> str:
    try:
        return str(json.loads(line)["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise ReadError(f"{path} has a line that is no pair ({error!r}); mend or delete it") from error
