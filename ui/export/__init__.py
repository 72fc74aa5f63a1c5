"""Answers and conversations as plain text, Markdown and JSON."""
