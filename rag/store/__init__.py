"""The index on disk: articles and passages, their vectors (Chroma) and their words (tantivy)."""
