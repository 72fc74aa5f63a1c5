"""Recognize drafts, private and deleted entries by the fields that content systems and note programs use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ingest.articles.fields import plain_name
from ingest.content.values import one_line
from rag.schema import Notice

_STATES = frozenset("status poststatus entrystatus articlestatus contentstatus publishstatus publicationstatus "
                    "publishedstatus publishingstatus moderationstate workflowstate workflowstatus state visibility "
                    "postvisibility pubstatus creativeworkstatus".split())  # fmt: skip
_UNPUBLISHED = frozenset(
    "autodraft deleted draft drafted drafts future inherit pending pendingreview private privatedraft scheduled "
    "softtrashed spiked trash trashed unpublished withheld".split()
)
"""Values of such a field, in lower case without punctuation; others ("updated", "breaking") say nothing of this."""
_FIELD_SPECIFIC = {"status": ("archived", "killed"), "pubstatus": ("canceled", "cancelled")}
"""Values that count only in one field: programs that save pages have a state "archived" for pages that were read."""
_UNPUBLISHED_FLAGS = frozenset(
    "draft isdraft isprivate private unpublished isunpublished trashed istrashed deleted isdeleted appdraft".split()
)
"""Fields that are true for an unpublished entry."""
_PUBLISHED_FLAGS = frozenset("published ispublished publish".split())
"""Fields that are false for an unpublished entry; some programs keep a date in them."""
_YES, _NO = frozenset("true yes y t 1 on".split()), frozenset("false no n f 0 off".split())
_NUMERIC_STATES = {"status": frozenset(("nid", "vid", "drupalinternalnid")), "state": frozenset(("catid",))}
"""Fields of Drupal and Joomla that hold 1 for a published entry, and the fields by which these are recognized."""
_PASSWORDS = frozenset(("postpassword", "wppostpassword"))
_NESTED = frozenset("article attributes content data entry fields frontmatter meta metadata node post source".split())
"""Nested objects that describe the record itself, unlike an author or a comment."""
_TYPE_FIELDS = frozenset(("posttype", "wpposttype"))
_NON_ARTICLE_TYPES = frozenset(
    "attachment changeset customcss customizechangeset navmenuitem oembedcache revision userrequest wpblock "
    "wpfontface wpfontfamily wpglobalstyles wpnavigation wptemplate wptemplatepart".split()
)
"""What WordPress stores as posts besides articles and pages."""
_PUNCTUATION = re.compile(r"[\W_]+")
_DRAFTS_FOLDER = re.compile(r"(?:^|/)_drafts/")
_MEDIUM_DRAFT = re.compile(r"(?:^|/)draft_[^/]*-[\da-f]{6,16}\.html?$", re.IGNORECASE)


def is_unpublished(record: Mapping[Any, Any], levels: int = 3) -> bool:
    """Whether a record is marked as a draft, scheduled, private, protected by a password, or deleted."""
    by_name = {plain_name(key): value for key, value in record.items()}
    return any(_marks_unpublished(name, _normal_value(value), by_name) for name, value in by_name.items()) or any(
        levels > 1 and name in _NESTED and isinstance(value, Mapping) and is_unpublished(value, levels - 1)
        for name, value in by_name.items()
    )


def is_not_an_article(record: Mapping[Any, Any]) -> bool:
    """Whether a record of WordPress is an attachment, a menu item or a revision."""
    return any(
        plain_name(key) in _TYPE_FIELDS and _normal_value(value) in _NON_ARTICLE_TYPES for key, value in record.items()
    )


def non_article_notice(name: str, count: int) -> Notice:
    """The notice for a source with entries that are not articles."""
    one, several = (
        "entry is an attachment, a menu item or a revision",
        "entries are attachments, menu items or revisions",
    )
    return Notice(name, f"{count:,} {one if count == 1 else several}: left out")


def is_draft_name(name: str) -> bool:
    """Whether a file's name is that of a draft, of Jekyll (in the folder of drafts) or of Medium."""
    return bool(_DRAFTS_FOLDER.search(name) or _MEDIUM_DRAFT.search(name))


def _marks_unpublished(name: str, value: str, by_name: Mapping[str, Any]) -> bool:
    if name in _STATES:
        is_numeric = by_name[name] is False or not _NUMERIC_STATES.get(name, frozenset()).isdisjoint(by_name)
        return value in _UNPUBLISHED or value in _FIELD_SPECIFIC.get(name, ()) or (is_numeric and value in _NO)
    if name == "archived":
        # Of Webflow, which has a field for drafts as well.
        return value in _YES and "draft" in by_name
    is_flagged = (name in _UNPUBLISHED_FLAGS and value in _YES) or (name in _PUBLISHED_FLAGS and value in _NO)
    return is_flagged or (name in _PASSWORDS and bool(one_line(by_name[name])))


def _normal_value(value: Any) -> str:
    """A value in lower case without punctuation; that of a list or object with a single one is taken out."""
    for _ in range(3):
        if isinstance(value, Mapping) and len(value) == 1:
            value = next(iter(value.values()))
        elif isinstance(value, list) and len(value) == 1:
            value = value[0]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _PUNCTUATION.sub("", str(value)[:100]).lower() if isinstance(value, (str, int)) else ""
