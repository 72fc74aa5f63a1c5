"""Passages → an answer: sentences, exact quotes and citations, quoted or written by a language model."""
