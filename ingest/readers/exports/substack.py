"""The list of posts in a Substack export: which of the pages beside it are published, with title and date."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ingest.articles.unpublished import is_unpublished
from ingest.content.encoding import decode
from ingest.content.types import MEGABYTE, Content
from rag.errors import ReadError

LIST, FOLDER = "posts.csv", "posts"
LONGEST_LIST = 50 * MEGABYTE
"""Bytes of the list, which has a line for each post."""
_COLUMNS = frozenset(("post_id", "is_published"))
_PAGES = (".html", ".htm")


@dataclass(frozen=True, slots=True)
class Post:
    """One post of the list; `metadata` is as in Content."""

    published: bool
    metadata: Mapping[str, str]


Posts = Mapping[str, Post]
"""Posts by id, which is the name of the post's page without its suffix."""


def posts_in(content: Content) -> Posts:
    """The posts that a file lists; none if it is not a Substack list."""
    if content.size > LONGEST_LIST or b"is_published" not in content.start(1_000):
        return {}
    with suppress(ReadError, OSError, csv.Error):
        rows = csv.DictReader(io.StringIO(decode(content.start(LONGEST_LIST))))
        if set(rows.fieldnames or ()) >= _COLUMNS:
            return {row["post_id"]: _post(row) for row in rows if row["post_id"]}
    return {}


def _post(row: Mapping[str, str]) -> Post:
    known = {"title": row.get("title") or "", "date": row.get("post_date") or ""}
    return Post(not is_unpublished({"is_published": row["is_published"]}), known)


def post_of(name: str, posts: Posts) -> Post | None:
    """The post of the page with this name; None if the list has none."""
    path = PurePosixPath(name)
    return posts.get(path.stem) if path.suffix.lower() in _PAGES else None


def list_beside(path: Path) -> Path | None:
    """The list that a page's post may be in, beside the folder of posts; None if there is none."""
    listed = path.parent.parent / LIST
    in_export = path.parent.name == FOLDER and path.suffix.lower() in _PAGES
    return listed if in_export and listed.is_file() else None


def is_in_export(folder: Path) -> bool:
    """Whether a folder is part of a Substack export, whose other tables list subscribers and openings."""
    listed = (folder.parent if folder.name == FOLDER else folder) / LIST
    with suppress(OSError):
        return bool(posts_in(Content(LIST, str(listed), lambda: listed.open("rb"), listed.stat().st_size)))
    return False
