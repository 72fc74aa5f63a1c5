"""Which account owns which sessions, events and uploaded files."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

MOST_SESSIONS = 1000
"""Open sessions of an account."""
MOST_EVENTS = 2000
"""Events of an account whose results can still be read; the oldest are dropped."""
MOST_UPLOADS = 20_000
"""Uploads of an account that can still be used; the oldest are dropped."""
LONGEST_ID = 100
"""Characters of a session id, which the page chooses."""
LONGEST_PATH = 4096


@dataclass(frozen=True, slots=True)
class OwnedIds:
    """Ids by account, at most `most` for each; the least recently used are dropped."""

    most: int
    _by_account: dict[str, OrderedDict[str, None]] = field(default_factory=dict, repr=False)

    def add(self, account: str, name: str) -> None:
        """Add an id to an account, as its most recently used."""
        ids = self._by_account.setdefault(account, OrderedDict())
        ids[name] = None
        ids.move_to_end(name)
        if len(ids) > self.most:
            ids.popitem(last=False)

    def has(self, account: str, name: str) -> bool:
        """Whether the account has the id."""
        return name in self._by_account.get(account, ())

    def drop(self, account: str, name: str) -> None:
        """Remove an id from the account."""
        self._by_account.get(account, OrderedDict()).pop(name, None)

    def oldest_first(self, account: str) -> list[str]:
        """All ids of the account, the least recently used first."""
        return [*self._by_account.get(account, ())]


@dataclass(frozen=True, slots=True)
class SessionOwners:
    """The owner of each session: the account that used it first.

    `forget` is called with the sessions to drop, and returns False for those in use.
    """

    forget: Callable[[str], bool]
    most: int = MOST_SESSIONS
    _owner: dict[str, str] = field(default_factory=dict, repr=False)
    _own: OwnedIds = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """One more than `most`, as room is made after a session is added."""
        object.__setattr__(self, "_own", OwnedIds(self.most + 1))

    def claim(self, account: str, session: str) -> bool:
        """Whether the session is this account's; one that nobody has used before becomes so."""
        owner = self._owner.get(session)
        if owner is None and not self._has_room(account):
            return False
        if owner not in {None, account}:
            return False
        self._owner[session] = account
        self._own.add(account, session)
        return True

    def _has_room(self, account: str) -> bool:
        own = self._own.oldest_first(account)
        if len(own) < self.most:
            return True
        oldest = next((session for session in own if self.forget(session)), None)
        if oldest is None:
            return False
        self._own.drop(account, oldest)
        del self._owner[oldest]
        return True


def paths_in(value: Any, folder: str) -> Iterator[str]:
    """The normalized paths of files in the folder that a JSON value names."""
    for text in parts_of(value):
        if isinstance(text, str) and os.sep in text and len(text) < LONGEST_PATH and (path := path_in(text, folder)):
            yield path


def path_in(text: str, folder: str) -> str:
    """The normalized path if the text is the path of a file in the folder, else an empty string."""
    path = os.path.abspath(text)  # noqa: PTH100 - as Gradio does; links are not followed
    return path if path.startswith(folder + os.sep) else ""


def names_address(value: Any) -> bool:
    """Whether this is Gradio's description of a file that it would have to fetch from another host."""
    path = value.get("path") if isinstance(value, dict) else None
    return isinstance(path, str) and path.strip().lower().startswith(("http:", "https:"))


def parts_of(value: Any) -> Iterator[Any]:
    """A JSON value and all values in it, at any depth."""
    rest = [value]
    while rest:
        part = rest.pop()
        yield part
        if isinstance(part, dict):
            rest.extend(part.values())
        elif isinstance(part, list):
            rest.extend(part)
