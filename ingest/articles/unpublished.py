"""Is an entry published? By the fields in which content systems, blogs and note programs mark drafts and the like."""

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
"""Values of such a field, without case and signs; any other one ("updated", "breaking") says nothing of this."""
_ALSO = {"status": ("archived", "killed"), "pubstatus": ("canceled", "cancelled")}
"""Values that count only in one field: programs that save pages have a state "archived" for what was read."""
_MARKS = frozenset("draft isdraft isprivate private unpublished isunpublished trashed istrashed deleted isdeleted "
                   "appdraft".split())  # fmt: skip
"""Fields that are true of what is not published."""
_PUBLISHED = frozenset("published ispublished publish".split())
"""Fields that are false of it; some of these hold a day instead."""
_YES, _NO = frozenset("true yes y t 1 on".split()), frozenset("false no n f 0 off".split())
_NUMBERED = {"status": frozenset(("nid", "vid", "drupalinternalnid")), "state": frozenset(("catid",))}
"""Fields that hold 1 for what is published, of Drupal and Joomla, and the fields by which those are known."""
_PASSWORDS = frozenset(("postpassword", "wppostpassword"))
_INSIDE = frozenset("article attributes content data entry fields frontmatter meta metadata node post source".split())
"""Objects in a record that say something of the record itself: an author's or a comment's status is another matter."""
_TYPES = frozenset(("posttype", "wpposttype"))
_NO_ARTICLES = frozenset(
    "attachment changeset customcss customizechangeset navmenuitem oembedcache revision userrequest wpblock "
    "wpfontface wpfontfamily wpglobalstyles wpnavigation wptemplate wptemplatepart".split()
)
"""What WordPress keeps as posts besides articles and pages."""
_OTHERS = "entries are attachments, menus' items or revisions"
_PLAIN = re.compile(r"[\W_]+")
_DRAFTS_FOLDER = re.compile(r"(?:^|/)_drafts/")
_MEDIUM_DRAFT = re.compile(r"(?:^|/)draft_[^/]*-[\da-f]{6,16}\.html?$", re.IGNORECASE)


def is_unpublished(record: Mapping[Any, Any], levels: int = 3) -> bool:
    """Does a record say that it is a draft, scheduled, private, protected by a password, or deleted?"""
    plain = {plain_name(key): value for key, value in record.items()}
    return any(_says_so(name, _value(value), plain) for name, value in plain.items()) or any(
        levels > 1 and name in _INSIDE and isinstance(value, Mapping) and is_unpublished(value, levels - 1)
        for name, value in plain.items()
    )


def is_not_an_article(record: Mapping[Any, Any]) -> bool:
    """Does a record say that it is an attachment, a menu's item or a revision of WordPress?"""
    return any(plain_name(key) in _TYPES and _value(value) in _NO_ARTICLES for key, value in record.items())


def non_article_notice(name: str, count: int) -> Notice:
    """The notice for a source with entries that are not articles."""
    what = "entry is an attachment, a menu's item or a revision" if count == 1 else _OTHERS
    return Notice(name, f"{count:,} {what}: left out")


def is_draft_name(name: str) -> bool:
    """Does a file's name say that it is a draft: of Jekyll, whose drafts have their folder, or of Medium?"""
    return bool(_DRAFTS_FOLDER.search(name) or _MEDIUM_DRAFT.search(name))


def _says_so(name: str, value: str, plain: Mapping[str, Any]) -> bool:
    if name in _STATES:
        is_off = plain[name] is False or not _NUMBERED.get(name, frozenset()).isdisjoint(plain)
        return value in _UNPUBLISHED or value in _ALSO.get(name, ()) or (is_off and value in _NO)
    if name == "archived":
        # Webflow's; beside it stands whether the entry is a draft.
        return value in _YES and "draft" in plain
    is_marked = (name in _MARKS and value in _YES) or (name in _PUBLISHED and value in _NO)
    return is_marked or (name in _PASSWORDS and bool(one_line(plain[name])))


def _value(value: Any) -> str:
    """A value without case and signs; of a list of one, or of an object with one value in it, that one."""
    for _ in range(3):
        if isinstance(value, Mapping) and len(value) == 1:
            value = next(iter(value.values()))
        elif isinstance(value, list) and len(value) == 1:
            value = value[0]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _PLAIN.sub("", str(value)[:100]).lower() if isinstance(value, (str, int)) else ""
