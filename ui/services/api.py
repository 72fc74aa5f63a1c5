"""The HTTP endpoints for other programs: ask, search, list articles, add articles. Errors are those of `rag.errors`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Any

from pydantic import ValidationError, validate_call

from rag.chain import Chain
from rag.config import Config
from rag.errors import QuestionError, ReadError, cut
from rag.schema import Filters
from ui.export import json as as_json
from ui.schema import MOST_PASSAGES
from ui.services import scope
from ui.services.article_list import ArticleList, TableView
from ui.services.uploads import Added, Pasted, Uploads

MOST_LISTED = 1000
"""Articles in one response."""


def _no_files(_: Any) -> Path:
    raise ReadError("files cannot be added here; add their text, or URLs")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The HTTP endpoints; other programs rely on the names of their parameters and the keys of their results.

    Without `uploads`, no articles can be added. `upload_path` returns the path of an uploaded file; it raises ReadError
    for a path that is not one, and by default for all.
    """

    chain: Chain
    article_list: ArticleList
    uploads: Uploads | None = None
    upload_path: Callable[[Any], Path] = _no_files

    def ask(
        self, question: str, published_after: str = "", published_before: str = "", source: str | list[str] = ""
    ) -> dict[str, Any]:
        """Answer a question from the articles, with the quotes that support every sentence.

        Dates are written as YYYY-MM-DD; several sources are a list, or a text with commas between them. The answer is
        `text`, with the numbers of its `citations`; if it is not `grounded`, the articles do not answer the question.
        """
        filters = self._filters(published_after, published_before, source)
        return as_json.answer_json(self.chain.ask(question, filters=filters))

    def search(
        self,
        question: str,
        limit: int = Config().hits,
        published_after: str = "",
        published_before: str = "",
        source: str | list[str] = "",
    ) -> dict[str, Any]:
        """Find the passages that are nearest to a question, the best one first.

        Dates and sources are as in `ask`; `limit` is the largest number of passages.
        """
        filters = self._filters(published_after, published_before, source)
        sentences, hits = Config().sentences, min(max(1, limit), MOST_PASSAGES)
        retrieved = self.chain.with_lengths(sentences, hits).retrieve(question, filters=filters)
        return {"question": question, "hits": [as_json.found_json(hit) for hit in retrieved]}

    def articles(self, words: str = "", limit: int = 50, offset: int = 0) -> dict[str, Any]:
        """List the articles with all the words in their title, source, author or date, the latest addition first.

        `total` is their number; `limit` of them are listed, from `offset` on.
        """
        found = self.article_list.found(TableView(words), min(max(0, limit), MOST_LISTED), max(0, offset))
        return {"total": found.total, "articles": [as_json.article_json(entry) for entry in found.entries]}

    def ingest(  # noqa: PLR0913, PLR0917 - one endpoint for all that can be added
        self,
        files: list[dict[str, Any]] | None = None,
        urls: list[str] | None = None,
        text: str = "",
        title: str = "",
        source: str = "",
        date: str = "",
    ) -> dict[str, Any]:
        """Add uploaded files, or pages and feeds by their addresses, or a text; returns the result for each.

        `title`, `source` and `date` (as YYYY-MM-DD) belong to the text.
        """
        uploads = self.uploads
        if not uploads:
            raise ReadError("articles cannot be added here; run pullquote ingest on the server")
        if bool(files) + bool(urls) + bool(text) != 1:
            raise ReadError("give files, urls or a text, one of these at a time")
        if files:
            steps = uploads.files([self.upload_path(file) for file in files], taken=True)
        else:
            steps = uploads.urls("\n".join(urls)) if urls else uploads.text(Pasted(text, title, source, date))
        added = [step for step in steps if isinstance(step, Added)][-1]
        return {**asdict(added.report), "outcomes": [asdict(outcome) for outcome in added.outcomes]}

    def _filters(self, after: str, before: str, source: str | Sequence[str]) -> Filters:
        return scope.filters(after, before, self._sources_of(source))

    def _sources_of(self, source: str | Sequence[str]) -> list[str]:
        if not source:
            return []
        known = self.chain.index.sources()
        if isinstance(source, str):  # one source, whose name may have a comma, or several
            source = [source] if source in known else [name for name in source.split(",") if name.strip()]
        return scope.spelled(source, known)


def checked(function: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """The endpoint, raising QuestionError for an argument of another type than its parameter."""
    typed = validate_call(function)

    @wraps(function)
    def call(*values: Any, **named: Any) -> dict[str, Any]:
        try:
            return typed(*values, **named)
        except ValidationError as error:
            first = error.errors()[0]
            names = function.__annotations__
            at = first["loc"][0] if first["loc"] else ""
            name = [*names][at] if isinstance(at, int) and at < len(names) else at
            raise QuestionError(
                f"{cut(name)} is not as it should be ({cut(first['msg'])}); see the endpoint's description"
            ) from error

    return call
