"""Who may use a page that others can reach: names and bcrypt hashes of passwords, in a file as Apache's htpasswd."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes
from typing import Self

import bcrypt
from anyio import CapacityLimiter, to_thread

from rag.errors import ConfigError, cut

BCRYPT = re.compile(rb"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")
NAME = re.compile(r"[^\s#:\x00-\x1f\x7f][^:\x00-\x1f\x7f]{0,99}(?<!\s)")
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 72
"""Characters, and bytes: bcrypt reads no further."""
TRIED_AT_ONCE = 2
"""Passwords that are checked side by side. Each takes a core for a quarter of a second, so guessing is slow as well."""
MOST_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of a page: a bcrypt hash for each name."""

    hashes: Mapping[str, bytes]
    _nobody: bytes = field(default_factory=lambda: bcrypt.hashpw(b"", bcrypt.gensalt()), repr=False)
    _secret: bytes = field(default_factory=lambda: token_bytes(32), repr=False)
    _remembered: set[bytes] = field(default_factory=set, repr=False)
    _turns: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(TRIED_AT_ONCE), repr=False)

    @classmethod
    def read(cls, file: Path) -> Self:
        """The accounts in a file. Raises ConfigError for one that cannot be read, and for lines of other kinds."""
        hashes = {}
        for number, line in enumerate(_lines(file), 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, _, hashed = line.partition(":")
            if not NAME.fullmatch(name) or not BCRYPT.fullmatch(hashed.strip().encode()):
                raise ConfigError(
                    f"{file}, line {number}: no name with a bcrypt hash; write it with pullquote account or htpasswd -B"
                )
            hashes[name] = hashed.strip().encode()
        if not hashes:
            raise ConfigError(f"no account is in {file}; make one: pullquote account {file} NAME")
        return cls(hashes)

    async def check(self, name: str, password: str) -> bool:
        """Is this the password of this name? Takes as long for a name that is not there."""
        said = password.encode("utf-8", "surrogatepass")
        seal = hmac.digest(self._secret, name.encode("utf-8", "surrogatepass") + b"\0" + said, "sha256")
        if name in self.hashes and seal in self._remembered:
            return True
        hashed = self.hashes.get(name, self._nobody)
        right = await to_thread.run_sync(_is_of, said, hashed, limiter=self._turns)
        if not right or name not in self.hashes:
            return False
        if len(self._remembered) < MOST_REMEMBERED:
            self._remembered.add(seal)
        return True

    @staticmethod
    def named_in(authorization: str) -> tuple[str, str] | None:
        """The name and password in a header of HTTP's basic kind; None if there is none."""
        kind, _, given = authorization.partition(" ")
        if kind.lower() != "basic":
            return None
        try:
            name, colon, password = base64.b64decode(given.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return (name, password) if colon else None


def write_account(file: Path, name: str, password: str) -> None:
    """Make an account, or give it another password. Raises ConfigError for a name or password that cannot be."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"{cut(name)!r} cannot name an account; give 1 to 100 characters, without a colon")
    if len(password) < SHORTEST_PASSWORD or len(password.encode("utf-8", "surrogatepass")) > LONGEST_PASSWORD:
        raise ConfigError(
            f"a password has {SHORTEST_PASSWORD} characters or more, and {LONGEST_PASSWORD} bytes or less; give another"
        )
    hashed = bcrypt.hashpw(password.encode("utf-8", "surrogatepass"), bcrypt.gensalt()).decode()
    others = [line for line in _lines(file) if line.partition(":")[0] != name] if file.exists() else []
    _write(file, "".join(f"{line}\n" for line in (*others, f"{name}:{hashed}")))


def _is_of(password: bytes, hashed: bytes) -> bool:
    try:
        return bcrypt.checkpw(password, hashed)
    except ValueError:  # longer than bcrypt takes, or with a zero byte in it
        return False


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        fix = f"make one: pullquote account {file} NAME"
        raise ConfigError(f"cannot read the accounts in {file} ({reason}); {fix}") from error


def _write(file: Path, text: str) -> None:
    """In place of what is there, at once, and for nobody else to read."""
    try:
        handle, draft = tempfile.mkstemp(dir=file.resolve().parent, prefix=f".{file.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as written:
            written.write(text)
        Path(draft).replace(file.resolve())
    except OSError as error:
        fix = "name a file in a folder that can be written to"
        raise ConfigError(f"cannot write {file} ({error.strerror}); {fix}") from error
