"""Accounts of a page: names and bcrypt hashes of passwords, in a file of Apache's htpasswd format."""

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
"""In characters, and in bytes (bcrypt ignores what follows)."""
CHECKED_AT_ONCE = 2
"""Passwords that are checked in parallel. Each takes a core for a quarter of a second, which also slows guessing."""
MOST_VERIFIED = 1000


@dataclass(frozen=True, slots=True)
class Accounts:
    """Account names with their bcrypt hashes; passwords that were right before are recognised without hashing again."""

    hashes: Mapping[str, bytes]
    _decoy: bytes = field(default_factory=lambda: bcrypt.hashpw(b"", bcrypt.gensalt()), repr=False)
    _secret: bytes = field(default_factory=lambda: token_bytes(32), repr=False)
    _verified: set[bytes] = field(default_factory=set, repr=False)
    _limiter: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(CHECKED_AT_ONCE), repr=False)

    @classmethod
    def read(cls, file: Path) -> Self:
        """The accounts in a file. Raises ConfigError for a file without accounts and for lines of another format."""
        hashes = {}
        for number, line in enumerate(_lines(file), 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, _, hashed = line.partition(":")
            if not NAME.fullmatch(name) or not BCRYPT.fullmatch(hashed.strip().encode()):
                fix = "write it with pullquote account or htpasswd -B"
                raise ConfigError(f"{file}, line {number}: not a name with a bcrypt hash; {fix}")
            hashes[name] = hashed.strip().encode()
        if not hashes:
            raise ConfigError(f"{file} holds no account; make one: pullquote account {file} NAME")
        return cls(hashes)

    async def check(self, name: str, password: str) -> bool:
        """Whether this is the password of this name. Takes as long for an unknown name."""
        given = password.encode("utf-8", "surrogatepass")
        fingerprint = hmac.digest(self._secret, name.encode("utf-8", "surrogatepass") + b"\0" + given, "sha256")
        if name in self.hashes and fingerprint in self._verified:
            return True
        hashed = self.hashes.get(name, self._decoy)
        right = await to_thread.run_sync(_matches, given, hashed, limiter=self._limiter)
        if not right or name not in self.hashes:
            return False
        if len(self._verified) < MOST_VERIFIED:
            self._verified.add(fingerprint)
        return True

    @staticmethod
    def credentials_in(authorization: str) -> tuple[str, str] | None:
        """The name and password in an Authorization header of the Basic scheme, or None."""
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return (name, password) if colon else None


def write_account(file: Path, name: str, password: str) -> None:
    """Create an account or change its password. Raises ConfigError for an invalid name or password."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"{cut(name)!r} is not an account name; give 1 to 100 characters without a colon")
    if len(password) < SHORTEST_PASSWORD or len(password.encode("utf-8", "surrogatepass")) > LONGEST_PASSWORD:
        raise ConfigError(
            f"a password has at least {SHORTEST_PASSWORD} characters and at most {LONGEST_PASSWORD} bytes; give another"
        )
    hashed = bcrypt.hashpw(password.encode("utf-8", "surrogatepass"), bcrypt.gensalt()).decode()
    others = [line for line in _lines(file) if line.partition(":")[0] != name] if file.exists() else []
    _write(file, "".join(f"{line}\n" for line in (*others, f"{name}:{hashed}")))


def _matches(password: bytes, hashed: bytes) -> bool:
    try:
        return bcrypt.checkpw(password, hashed)
    except ValueError:  # longer than bcrypt takes, or with a zero byte in it
        return False


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        fix = f"make one: pullquote account {file} NAME"
        raise ConfigError(f"cannot read the accounts in {file} ({reason}); {fix}") from error


def _write(file: Path, text: str) -> None:
    """Replace the file atomically; only its owner may read it."""
    try:
        handle, draft = tempfile.mkstemp(dir=file.resolve().parent, prefix=f".{file.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as written:
            written.write(text)
        Path(draft).replace(file.resolve())
    except OSError as error:
        fix = "name a file in a writable folder"
        raise ConfigError(f"cannot write {file} ({error.strerror}); {fix}") from error
