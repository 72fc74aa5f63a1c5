"""Answer from passages: exact quotes and citations, extracted or written by a language model."""
