"""Accounts: the file format, and which passwords are accepted."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import ConfigError
from ui.server.accounts import BCRYPT, Accounts, write_account

FAST = 4
"""bcrypt's least cost."""
HORSE = "correct horse"
SHAPED = f"$2b$04${'x' * 53}"
"""What looks like a hash; the names of tests are made of it, and must be the same in every process."""


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(FAST)).decode()


def accounts(**passwords: str) -> Accounts:
    return Accounts({name: hashed(password).encode() for name, password in passwords.items()}, hashed("").encode())


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_a_new_account_can_log_in(tmp_path: Path) -> None:
    file = tmp_path / "users"
    write_account(file, "ada", HORSE)
    write_account(file, "grace h", "battery staple")
    assert file.stat().st_mode & 0o077 == 0
    assert HORSE not in file.read_text()
    known = Accounts.read(file)
    assert asyncio.run(known.check("ada", HORSE))
    assert asyncio.run(known.check("grace h", "battery staple"))
    assert not asyncio.run(known.check("ada", "battery staple"))
    write_account(file, "ada", "another horse")
    again = Accounts.read(file)
    assert [*again.hashes] == ["grace h", "ada"]
    assert not asyncio.run(again.check("ada", HORSE))
    assert asyncio.run(again.check("ada", "another horse"))
    assert list(tmp_path.iterdir()) == [file], "no draft is left"


def test_other_lines_of_the_file_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "users"
    apache = hashed(HORSE).replace("$2b$", "$2y$")
    file.write_text(f"# the desk\n\nbert:{apache}\n")
    write_account(file, "ada", HORSE)
    assert file.read_text().startswith(f"# the desk\n\nbert:{apache}\nada:$2")
    assert asyncio.run(Accounts.read(file).check("bert", HORSE)), "as htpasswd -B writes it"


@pytest.mark.parametrize("name", ["", " ", "a:b", "#a", " a", "a ", "a\nb", "a" * 101])
def test_invalid_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"without a colon$"):
        write_account(tmp_path / "users", name, HORSE)
    assert not (tmp_path / "users").exists()


@pytest.mark.parametrize("password", ["", "seven77", "x" * 73, "é" * 37])
def test_invalid_passwords(tmp_path: Path, password: str) -> None:
    with pytest.raises(ConfigError, match=r"give another$"):
        write_account(tmp_path / "users", "ada", password)


@pytest.mark.parametrize(
    "line", ["ada", "ada:", "ada:plain", "ada:{SHA}abc", "ada:$apr1$x$y", f":{SHAPED}", f"ada:{SHAPED}:more"]
)
def test_an_invalid_line_is_reported_with_its_number(tmp_path: Path, line: str) -> None:
    file = tmp_path / "users"
    file.write_text(f"# ours\n{line}\n")
    with pytest.raises(ConfigError, match=r"users, line 2: .*htpasswd -B$"):
        Accounts.read(file)


@pytest.mark.parametrize("content", [None, b"", b"# nobody\n", b"\xff\xfe\x00"])
def test_a_file_without_accounts_is_an_error_with_its_fix(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "users"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match="make one: pullquote account"):
        Accounts.read(file)


def test_a_folder_that_is_not_writable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"writable folder$"):
        write_account(tmp_path / "none" / "users", "ada", HORSE)


@settings(max_examples=60)
@given(
    st.sampled_from(["ada", "bert", "ada\0", "", "ada\0x"]), st.text(max_size=90) | st.sampled_from(["x", "x\0", "y"])
)
def test_only_a_name_with_its_own_password_is_accepted(name: str, password: str) -> None:
    known = accounts(ada="x", bert="y")
    expected = {"ada": "x", "bert": "y"}.get(name) == password
    for _ in range(2):  # what was right once is remembered
        assert asyncio.run(known.check(name, password)) is expected


def test_a_verified_password_opens_no_other_account() -> None:
    known = accounts(a="b\0c")
    assert asyncio.run(known.check("a", "b\0c"))
    assert not asyncio.run(known.check("a\0b", "c"))


def test_credentials_of_basic_authentication() -> None:
    assert Accounts.credentials_in(basic("ada:x:y")) == ("ada", "x:y")
    assert Accounts.credentials_in(basic("ada:x:y").replace("Basic", "bAsIc")) == ("ada", "x:y")
    assert Accounts.credentials_in(basic(":")) == ("", "")
    for wrong in ("", "Basic", "Basic !", "Basic ada", basic("ada"), "Bearer x", "Basic /w=="):
        assert Accounts.credentials_in(wrong) is None


def test_hashes_are_recognised() -> None:
    assert BCRYPT.fullmatch(hashed("x").encode())
    assert not BCRYPT.fullmatch(hashed("x").encode() + b"\n")
