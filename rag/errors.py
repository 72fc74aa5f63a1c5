"""The errors shown to users: one line each, which ends with the fix.

PullquoteError
├── AddressError     the chat page cannot be served at the given address
├── ConfigError      a setting is unknown or has an invalid value
├── HistoryError     a conversation cannot be saved or loaded
├── ModelError       a model cannot be found or is not the expected one
├── QuestionError    a question is empty or too long
├── ReadError        a source cannot be read as articles
├── Stopped          the reader stopped an answer
├── UnexpectedError  an internal failure, described in the log only
└── StoreError       the index cannot be opened, read or written
    ├── IndexMissing    there is no index, or it is empty
    ├── IndexMismatch   the index was built with other settings
    └── IndexLocked     another process is writing to it
"""

from __future__ import annotations


class PullquoteError(Exception):
    """Base of all errors that Pullquote raises on purpose."""


class AddressError(PullquoteError):
    """The chat page cannot be served at the given address."""


class ConfigError(PullquoteError):
    """A setting is unknown or has an invalid value."""


class HistoryError(PullquoteError):
    """A conversation cannot be saved or loaded."""


class ModelError(PullquoteError):
    """A model cannot be found or is not the expected one."""


class QuestionError(PullquoteError):
    """A question is empty or too long."""


class ReadError(PullquoteError):
    """A source cannot be read as articles."""


class Stopped(PullquoteError):
    """The reader stopped an answer: thrown into its iterator, which yields the partial answer or raises it again."""


class UnexpectedError(PullquoteError):
    """An internal failure; the log has the details."""


class StoreError(PullquoteError):
    """The index cannot be opened, read or written."""


class IndexMissing(StoreError):
    """There is no index, or it is empty."""


class IndexMismatch(StoreError):
    """The index was built with another embedding model or by another version."""


class IndexLocked(StoreError):
    """Another process is writing to the index."""


LONGEST_ECHO = 200
"""Characters of a user's text that a message repeats."""


def cut(text: object, most: int = LONGEST_ECHO) -> str:
    """A value shortened for a message."""
    full = str(text)
    return full if len(full) <= most else f"{full[: most - 1]}…"
