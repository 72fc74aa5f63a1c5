"""Ask a question of your articles and get a cited answer: `from rag import ask`."""

from rag.chain import Chain, ask
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
