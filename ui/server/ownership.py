"""What belongs to which account: sessions of the page, events that were sent to it, and uploaded files."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

MOST_SESSIONS = 1000
"""Open sessions of an account."""
MOST_EVENTS = 2000
"""Latest events of an account whose results can still be read."""
MOST_UPLOADS = 20_000
"""Latest uploads of an account that can still be used."""
LONGEST_ID = 100
"""Characters of a session's id, which its page chooses."""
LONGEST_PATH = 4096


@dataclass(frozen=True, slots=True)
class Belongings:
    """Ids by account, at most `most` for each; the longest unused make room."""

    most: int
    _of: dict[str, OrderedDict[str, None]] = field(default_factory=dict, repr=False)

    def add(self, account: str, name: str) -> None:
        """Let an account have something from now on."""
        own = self._of.setdefault(account, OrderedDict())
        own[name] = None
        own.move_to_end(name)
        if len(own) > self.most:
            own.popitem(last=False)

    def has(self, account: str, name: str) -> bool:
        """Does it belong to the account?"""
        return name in self._of.get(account, ())

    def drop(self, account: str, name: str) -> None:
        """Take it from the account."""
        self._of.get(account, OrderedDict()).pop(name, None)

    def oldest_first(self, account: str) -> list[str]:
        """All that belongs to the account; what was used last stands last."""
        return [*self._of.get(account, ())]


@dataclass(frozen=True, slots=True)
class SessionOwners:
    """The owner of each session: the account that used it first.

    `forget` is told of sessions that make room, and returns False for those that are in use.
    """

    forget: Callable[[str], bool]
    most: int = MOST_SESSIONS
    _owner: dict[str, str] = field(default_factory=dict, repr=False)
    _own: Belongings = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """One more than `most`, as room is made after a session is added."""
        object.__setattr__(self, "_own", Belongings(self.most + 1))

    def claim(self, account: str, session: str) -> bool:
        """Is the session this account's? If nobody has used it before, it is from now on."""
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
    """The texts of a JSON value that name a file in the folder, with the spelling of the path made one."""
    for text in parts_of(value):
        if isinstance(text, str) and os.sep in text and len(text) < LONGEST_PATH and (path := path_in(text, folder)):
            yield path


def path_in(text: str, folder: str) -> str:
    """The path that a text is, if that is of a file in the folder; otherwise empty."""
    path = os.path.abspath(text)  # noqa: PTH100 - as Gradio does; links are not followed
    return path if path.startswith(folder + os.sep) else ""


def names_address(value: Any) -> bool:
    """Is this a file as Gradio writes it, which it would have to fetch from another host?"""
    path = value.get("path") if isinstance(value, dict) else None
    return isinstance(path, str) and path.strip().lower().startswith(("http:", "https:"))


def parts_of(value: Any) -> Iterator[Any]:
    """A JSON value and all values in it, however deep."""
    rest = [value]
    while rest:
        one = rest.pop()
        yield one
        if isinstance(one, dict):
            rest.extend(one.values())
        elif isinstance(one, list):
            rest.extend(one)
