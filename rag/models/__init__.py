"""Embedders, rerankers and language models: the only place where a model is built. Knows no index."""
