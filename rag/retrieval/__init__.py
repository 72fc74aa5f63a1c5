"""A question → the passages that may answer it, and how confident the best of them makes us."""
