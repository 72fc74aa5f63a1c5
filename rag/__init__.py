"""Ask a question of your articles and get a cited answer: `from rag import ask`."""

from typing import TYPE_CHECKING, Any

from rag.config import Config
from rag.errors import (
    ConfigError,
    IndexLocked,
    IndexMismatch,
    IndexMissing,
    ModelError,
    PullquoteError,
    QuestionError,
    ReadError,
    StoreError,
)
from rag.schema import Answer, Article, Citation, Filters, Hit, IngestReport, Passage, Turn

if TYPE_CHECKING:
    from rag.chain import Chain, ask

__all__ = [
    "Answer",
    "Article",
    "Chain",
    "Citation",
    "Config",
    "ConfigError",
    "Filters",
    "Hit",
    "IndexLocked",
    "IndexMismatch",
    "IndexMissing",
    "IngestReport",
    "ModelError",
    "Passage",
    "PullquoteError",
    "QuestionError",
    "ReadError",
    "StoreError",
    "Turn",
    "ask",
]


def __getattr__(name: str) -> Any:
    """`Chain` and `ask`, imported when first used: a command that asks nothing starts without an index and a model."""
    if name not in ("Chain", "ask"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rag import chain

    return getattr(chain, name)
