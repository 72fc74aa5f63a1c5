"""Turn articles into an index that `rag` can answer from."""

from ingest.content.types import Options
from ingest.pipeline import ingest

__all__ = ["Options", "ingest"]
