"""A copy of an index in one file, and an index from such a file."""
