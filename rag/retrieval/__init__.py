"""Retrieve passages: follow-ups, query rewriting, candidates, scores and the confidence in them."""
