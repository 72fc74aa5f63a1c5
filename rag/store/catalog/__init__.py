"""The catalogue: articles, passages and their vectors in SQL. Knows nothing of searching."""
