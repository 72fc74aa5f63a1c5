"""Turn articles into an index: `from ingest import ingest`."""

from ingest.pipeline import ingest

__all__ = ["ingest"]
