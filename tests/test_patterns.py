"""No pattern that sees foreign text takes longer than in proportion to it, whatever somebody writes to that end."""

from __future__ import annotations

import ast
import importlib
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import ROOT

PACKAGES = ("ingest", "rag", "ui")
WARM_UP, SHORT, LONG = (20, 26, 32, 200), 3_000, 12_000
"""Characters; the shortest find out what doubles with every character, before it would run for years."""
FAST = 0.1e-6
"""Seconds a character that need no second look."""
STEEPEST = 8.0
"""How much longer four times the text may take; in proportion would be 4, by the square 16."""
LEADS = ("a", " ", "\n", "-", "<", '"', "1", "A", ".", ",", "á", "![[", "</script ", "<!--", "a=", "&", "[", "(", "\n ")
MOST_BRANCHES, MOST_PUMPS = 4, 50
ALONE = frozenset({"match", "fullmatch"})
TABLES = {"rag.language.question": ("_QUESTIONS", "_OFFERS")}
"""Where strings are patterns that are compiled when they are used."""
BUILT = {"letters": "qx", "pair": "qx"}
"""What stands in patterns of which a part is drawn when they are used."""
OF_NAMES = {("rag.language.source_names", "pattern"), ("ui.html.report", "pattern")}
"""Built of escaped words alone, which are in the index or in a pairs file."""
ESCAPED = "re.escape("
"""What is built of an escaped text in the call itself takes time in proportion, as nothing in it repeats."""


@dataclass(frozen=True)
class Found:
    where: str
    pattern: re.Pattern[Any]
    at_start: bool


def modules() -> Iterator[ModuleType]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield importlib.import_module(".".join(part for part in parts if part != "__init__"))


def patterns_in(value: object, depth: int = 3) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif depth and isinstance(value, dict):
        yield from patterns_in([*value.keys(), *value.values()], depth - 1)
    elif depth and isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from patterns_in(item, depth - 1)


def used_at_start(trees: Iterable[ast.Module]) -> set[str]:
    """Names of patterns that are only ever matched from the start of a text, where a search would try each place."""
    uses: dict[str, set[str]] = {}
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            uses.setdefault(node.value.id, set()).add(node.attr)
    return {name for name, used in uses.items() if used <= ALONE}


def written_in_calls(module: ModuleType, tree: ast.Module) -> Iterator[tuple[ast.expr, bool, int]]:
    """The patterns that are given to functions of `re`, and whether only the start of a text is looked at."""
    for node in ast.walk(tree):
        call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args
        if call and isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.func.attr != "escape":  # type: ignore[attr-defined]
            flags = [keyword.value for keyword in node.keywords if keyword.arg == "flags"]  # type: ignore[attr-defined]
            told = [arg for arg in (*node.args[1:], *flags) if "re." in ast.unparse(arg)]  # type: ignore[attr-defined]
            value = eval(ast.unparse(told[0]), {"re": re}) if told else 0
            yield node.args[0], node.func.attr in ALONE, int(value)  # type: ignore[attr-defined]


def collected() -> tuple[list[Found], set[tuple[str, str]]]:
    """Every pattern of the program, and those of which only their use tells what they are."""
    loaded = [(module, ast.parse(Path(module.__file__ or "").read_text("utf-8"))) for module in modules()]
    at_start = used_at_start(tree for _, tree in loaded)
    found: dict[tuple[Any, int], Found] = {}
    unknown = set()
    for module, _ in loaded:
        for name, value in vars(module).items():
            for pattern in patterns_in(value):
                found.setdefault(_key(pattern), Found(f"{module.__name__}.{name}", pattern, name in at_start))
        for table in TABLES.get(module.__name__, ()):
            for pattern in map(re.compile, filter(None, getattr(module, table).values())):
                found.setdefault(_key(pattern), Found(f"{module.__name__}.{table}", pattern, at_start=False))
    for module, tree in loaded:
        for written, alone, flags in written_in_calls(module, tree):
            source = ast.unparse(written)
            try:
                value = eval(source, BUILT | vars(module))
            except (NameError, KeyError):
                unknown.add((module.__name__, source))
                continue
            pattern = re.compile(value, flags)
            found.setdefault(_key(pattern), Found(f"{module.__name__}: {source[:60]}", pattern, alone))
    return list(found.values()), unknown


def _key(pattern: re.Pattern[Any]) -> tuple[Any, int]:
    return pattern.pattern, pattern.flags


def sample(items: Iterable[Any], groups: dict[int, str]) -> str:
    """A short text that (nearly) fits a parsed pattern."""
    return "".join(part for op, value in items for part in [_one(op, value, groups)])


def _one(op: Any, value: Any, groups: dict[int, str]) -> str:  # noqa: C901 - a case for each kind of part
    if op is ops.LITERAL:
        return chr(value)
    if op is ops.NOT_LITERAL:
        return "x" if value != ord("x") else "y"
    if op is ops.ANY:
        return "x"
    if op is ops.IN:
        return _of_set(value)
    if op is ops.BRANCH:
        return sample(value[1][0], groups)
    if op is ops.SUBPATTERN:
        text = sample(value[3], groups)
        if value[0] is not None:
            groups[value[0]] = text
        return text
    if op is ops.ATOMIC_GROUP:
        return sample(value, groups)
    if op in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT):
        return sample(value[2], groups) * max(1, value[0])
    if op is ops.ASSERT and value[0] == 1:
        return sample(value[1], groups)
    return groups.get(value, "") if op is ops.GROUPREF else ""


CLASSES = {ops.CATEGORY_DIGIT: "1", ops.CATEGORY_SPACE: " ", ops.CATEGORY_WORD: "a"}
OTHERS = {ops.CATEGORY_NOT_DIGIT: "x", ops.CATEGORY_NOT_SPACE: "x", ops.CATEGORY_NOT_WORD: "-"}


def _of_set(members: list[tuple[Any, Any]]) -> str:
    if members[0][0] is ops.NEGATE:
        fits = re.compile("[^" + re.escape("".join(chr(v) for op, v in members if op is ops.LITERAL)) + " ]")
        return next((letter for letter in 'xa1 -.<"=' if fits.match(letter)), "x")
    op, value = members[0]
    if op is ops.LITERAL:
        return chr(value)
    return chr(value[0]) if op is ops.RANGE else CLASSES.get(value) or OTHERS.get(value, "x")


def pumps(items: Iterable[Any], before: str, groups: dict[int, str]) -> Iterator[tuple[str, str]]:
    """Runs of a pattern's parts as texts, each with a text for all that comes before it in the pattern."""
    parts = list[str]()
    for op, value in items:
        if op is ops.BRANCH:
            for branch in value[1][:MOST_BRANCHES]:
                yield from pumps(branch, before + "".join(parts), dict(groups))
        elif op in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT):
            yield from pumps(value[2], before + "".join(parts), groups)
        elif op is ops.SUBPATTERN:
            yield from pumps(value[3], before + "".join(parts), groups)
        elif op is ops.ATOMIC_GROUP:
            yield from pumps(value, before + "".join(parts), groups)
        elif op is ops.IN and value[0][0] is not ops.NEGATE:
            yield from ((before + "".join(parts), _of_set([member])) for member in value[:MOST_BRANCHES])
        parts.append(_one(op, value, groups))
    for first in range(len(parts)):
        for end in range(first + 1, len(parts) + 1):
            yield before + "".join(parts[:first]), "".join(parts[first:end])


def attacks(pattern: re.Pattern[Any]) -> list[tuple[str, str, str]]:
    """Texts that could make a pattern try again and again: what they begin with, repeat and end with."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    parsed = parser.parse(source, pattern.flags & ~re.DEBUG)
    found = {("", lead, end) for lead in LEADS for end in ("", "\0")}
    told = {(before, pump) for before, pump in pumps(parsed, "", {}) if pump}
    for before, pump in random.Random(1).sample(sorted(told), min(len(told), MOST_PUMPS)):
        found |= {(before, pump, "\0"), ("", before + pump, ""), (before, f"{pump} ", "\0")}
    return sorted(found)


def run(found: Found, text: str) -> float:
    """Seconds that all that can be found in a text take."""
    given: Any = text.encode("utf-8", "replace") if isinstance(found.pattern.pattern, bytes) else text
    use: Callable[[Any], Any] = found.pattern.match if found.at_start else lambda t: found.pattern.sub(_nothing(t), t)
    started = time.process_time()
    use(given)
    return time.process_time() - started


def _nothing(text: Any) -> Any:
    return text[:0]


def is_steep(found: Found, before: str, pump: str, end: str) -> bool:
    def of(length: int) -> str:
        return before + pump * (length // len(pump)) + end

    if any(run(found, of(length)) > 0.05 for length in WARM_UP):
        return True
    short = run(found, of(SHORT))
    if short < FAST * SHORT or run(found, of(LONG)) <= STEEPEST * short:
        return False
    times = [min(run(found, of(length)) for _ in range(3)) for length in (SHORT, LONG)]
    return times[1] > STEEPEST * times[0]


FOUND, UNKNOWN = collected()


def test_every_pattern_is_known() -> None:
    tables = {("rag.language.question", name) for name in ("words", "pattern", "_OFFERS[kind]")}
    unknown = {source for source in UNKNOWN if "{pattern}" not in source[1] and ESCAPED not in source[1]}
    assert unknown == tables | OF_NAMES | {("ui.server.gate", "route.path")}
    assert {"ingest.readers.html.text._TOKEN", "rag.language.question._OFFERS", "ui.services.uploads.RESERVED"} <= {
        found.where for found in FOUND
    }


def test_a_pattern_that_tries_again_and_again_is_found_out() -> None:
    lazy = Found("", re.compile(r"<(p)>.*?(?:</\1(?=[ >])[^>]*>|$)", re.S), at_start=False)
    doubling = Found("", re.compile(r"(?:a+)+b"), at_start=True)
    for found in (lazy, doubling, Found("", re.compile(r"\s+x"), at_start=False)):
        assert any(is_steep(found, *attack) for attack in attacks(found.pattern)), found.pattern


@pytest.mark.parametrize("found", FOUND, ids=lambda found: found.where)
def test_a_pattern_takes_time_in_proportion_to_the_text(found: Found) -> None:
    steep = [attack for attack in attacks(found.pattern) if is_steep(found, *attack)]
    assert not steep, steep[:5]
