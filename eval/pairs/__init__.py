"""Question-answer pairs: read, checked, labelled, generated."""
