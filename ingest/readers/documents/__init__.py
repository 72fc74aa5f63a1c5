"""Readers of PDF, Word and EPUB."""
