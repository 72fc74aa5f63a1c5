"""What can go wrong, as the user is told it: one line that ends with the fix.

PullquoteError
├── AddressError     the chat page cannot be served where it was asked to be
├── ConfigError      a setting is unknown or has a value it cannot have
├── HistoryError     a conversation cannot be kept, or not be read again
├── ModelError       a model cannot be found or is not the one expected
├── QuestionError    a question is empty or too long
├── ReadError        a source cannot be read as articles
├── Stopped          an answer is stopped by who reads it
├── UnexpectedError  something failed for a reason that only the log tells
└── StoreError       the index cannot be opened, read or written
    ├── IndexMissing    there is no index, or it is empty
    ├── IndexMismatch   the index was made with other settings
    ├── IndexChanging   another process changes what is being read
    └── IndexLocked     another process is writing to it
"""

from __future__ import annotations


class PullquoteError(Exception):
    """Base of all errors that Pullquote raises on purpose."""


class AddressError(PullquoteError):
    """The chat page cannot be served at the address asked for."""


class ConfigError(PullquoteError):
    """A setting is unknown or has a value it cannot have."""


class HistoryError(PullquoteError):
    """A conversation that was kept cannot be read, or one cannot be kept."""


class ModelError(PullquoteError):
    """A model cannot be found, or is not the one expected."""


class QuestionError(PullquoteError):
    """A question is empty or too long."""


class ReadError(PullquoteError):
    """A source cannot be read as articles."""


class Stopped(PullquoteError):
    """An answer is stopped by who reads it: thrown into its iterator, which then tells what is finished.

    It comes back out of the iterator if nothing is.
    """


class UnexpectedError(PullquoteError):
    """Something failed that should not; the log says what."""


class StoreError(PullquoteError):
    """The index cannot be opened, read or written."""


class IndexMissing(StoreError):
    """There is no index, or nothing is in it."""


class IndexMismatch(StoreError):
    """The index was made with another embedding model or by another version."""


class IndexChanging(StoreError):
    """Another process changes the part of the index that is being read, each time it is looked at."""


class IndexLocked(StoreError):
    """Another process is writing to the index."""


LONGEST_ECHO = 200
"""Characters of what somebody wrote that a message repeats."""


def cut(text: object, most: int = LONGEST_ECHO) -> str:
    """A value as a message repeats it: its first characters."""
    told = str(text)
    return told if len(told) <= most else f"{told[: most - 1]}…"
