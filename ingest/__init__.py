"""Turn articles into an index that `rag` can answer from."""

from ingest.pipeline import ingest
from ingest.source import Options

__all__ = ["Options", "ingest"]
