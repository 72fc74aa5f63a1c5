"""Answers, passages and articles as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rag.schema import Answer, ArticleEntry, Citation, Filters, Hit, Passage, ReadFilter, Sentence
from ui.wording import described_filters


def plain_json(value: Any, indent: int | None = 2) -> str:
    """JSON in which every invisible character is written as an escape."""
    text = json.dumps(value, ensure_ascii=False, indent=indent).encode("utf-8", "replace").decode()
    for invisible in {character for character in text if character != "\n" and not character.isprintable()}:
        text = text.replace(invisible, json.dumps(invisible)[1:-1])
    return text


def answer_json(answer: Answer) -> dict[str, Any]:
    """The answer as `--json` and the HTTP API give it. Its keys are a public format."""
    return {
        "question": answer.question,
        "text": answer.text,
        "grounded": answer.grounded,
        "confidence": round(answer.confidence, 4),
        "citations": [_citation_json(citation) for citation in answer.citations],
        "hits": [_hit_json(hit) for hit in answer.hits],
        "notice": answer.notice,
        "seconds": round(answer.seconds, 4),
        "emphasis": [list(span) for span in answer.emphasis],
        "filters": [_filter_json(read) for read in answer.read],
        "sentences": [_sentence_json(sentence, answer.text) for sentence in answer.sentences],
        "written_by": answer.written_by,
        "searched": list(answer.searched),
    }


def _sentence_json(sentence: Sentence, text: str) -> dict[str, Any]:
    return {
        "text": text[sentence.start : sentence.end],
        "citations": list(sentence.citations),
        "support": round(sentence.support, 4),
    }


def _filter_json(read: ReadFilter) -> dict[str, Any]:
    return {"words": read.words, "described": described_filters(read.filters), **filters_json(read.filters)}


def filters_json(filters: Filters) -> dict[str, Any]:
    """Filters as JSON."""
    after, before = filters.published_after, filters.published_before
    return {
        "published_after": after.isoformat() if after else None,
        "published_before": before.isoformat() if before else None,
        "sources": list(filters.sources),
        "article_ids": list(filters.article_ids),
    }


def _article_of(passage: Passage) -> dict[str, Any]:
    """The article that a passage comes from."""
    return {
        "title": passage.title,
        "source": passage.source,
        "published": passage.published.isoformat() if passage.published else None,
        "url": passage.url,
    }


def _citation_json(citation: Citation) -> dict[str, Any]:
    passage = citation.passage
    return {
        "number": citation.number,
        "article_id": passage.article_id,
        **_article_of(passage),
        "quote": citation.quote,
        "start": citation.start,
        "end": citation.end,
        "also": [{"article_id": c.id, "title": c.title, "source": c.source, "url": c.url} for c in citation.duplicates],
        "extra": dict(citation.extra),
    }


def _hit_json(hit: Hit) -> dict[str, Any]:
    passage = hit.passage
    return {
        "article_id": passage.article_id,
        "passage_id": passage.id,
        "score": round(hit.score, 4),
        "text": passage.text.strip(),
    }


def found_json(hit: Hit) -> dict[str, Any]:
    """A passage that was found, with its article."""
    return _hit_json(hit) | _article_of(hit.passage)


def article_json(entry: ArticleEntry) -> dict[str, Any]:
    """An article as `pullquote articles --json` lists it."""
    return {
        "id": entry.id,
        "title": entry.title,
        "source": entry.source,
        "published": entry.published.isoformat() if entry.published else None,
        "url": entry.url,
        "author": entry.author,
        "language": entry.language,
        "extra": dict(entry.extra),
        "origin": entry.origin,
        "copies": [asdict(copy) for copy in entry.copies],
        "passages": entry.passages,
    }
