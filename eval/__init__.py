"""Measure it: question-answer pairs, and the sample corpus that the quickstart and the tests use."""
