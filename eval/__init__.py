"""Evaluation on question-answer pairs, and the sample corpus of the quickstart and the tests."""
