"""Drafts, private and deleted posts: left out with a notice, and read only on request."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import pytest

from ingest import Options, ingest
from ingest.articles.unpublished import is_draft_name, is_not_an_article, is_unpublished
from ingest.content.types import Item, Unpublished
from ingest.sources.files import Source, find
from ingest.sources.opener import Opener
from rag.config import Config
from rag.schema import Article, IngestReport, Notice
from rag.store.index import Index
from tests.support.hashing import HashEmbedder

TOLD = "The pier of Ostrava Bay was closed on Tuesday after a storm had torn off its planks."
SECRET = "Nobody may read yet that the harbour master resigned on Monday over the missing planks."

POST = """<item><title>{title}</title><link>https://blog.example/{name}</link><guid>https://blog.example/?p={name}</guid>
<content:encoded><![CDATA[<p>{text}</p>]]></content:encoded><{ns}:status><![CDATA[{status}]]></{ns}:status>
<{ns}:post_type>{kind}</{ns}:post_type><{ns}:post_password><![CDATA[{password}]]></{ns}:post_password></item>"""


def wxr(*posts: dict[str, str], ns: str = "wp") -> str:
    defaults = {"title": "Pier", "text": TOLD, "status": "publish", "kind": "post", "password": "", "ns": ns}
    items = "".join(POST.format(**{**defaults, "name": f"p{n}", **post}) for n, post in enumerate(posts))
    spaces = f'xmlns:{ns}="http://wordpress.org/export/1.2/" xmlns:content="http://purl.org/rss/1.0/modules/content/"'
    return f'<?xml version="1.0"?><rss version="2.0" {spaces}><channel><title>Bay</title>{items}</channel></rss>'


class Read(Protocol):
    """What all files of a place hold."""

    def __call__(self, place: Path, *, include_drafts: bool = False) -> list[Item]: ...


@pytest.fixture(scope="module")
def read() -> Iterator[Read]:
    """One sandbox process for all tests: starting it takes longer than any of them."""
    with ExitStack() as stack:
        openers = [stack.enter_context(Opener(Options(include_drafts=drafts))) for drafts in (False, True)]

        def read(place: Path, *, include_drafts: bool = False) -> list[Item]:
            sources = [source for source in find(place) if isinstance(source, Source)]
            return [item for source in sources for item in openers[include_drafts].read(source)]

        yield read


def texts(items: list[Item]) -> list[str]:
    return [item.text for item in items if isinstance(item, Article)]


RECORDS: list[dict[str, Any]] = [
    {"status": "draft"},
    {"status": "Draft"},
    {"status": "private"},
    {"status": "PENDING"},
    {"status": "auto-draft"},
    {"status": "Pending review"},
    {"status": "scheduled"},
    {"status": "archived"},
    {"post_status": "trash"},
    {"post_status": "future"},
    {"draft": True},
    {"draft": "true"},
    {"isDraft": 1},
    {"published": False},
    {"published": "False"},
    {"published": "no"},
    {"is_published": "0"},
    {"is_published": 0.0},
    {"Published": "No"},
    {"deleted": True},
    {"visibility": "private"},
    {"post_password": "open sesame"},
    {"post_password": "***"},
    {"pubstatus": "withheld"},
    {"Archived": "true", "Draft": "false"},
    {"nid": 4, "status": "0"},
    {"nid": [{"value": 4}], "status": [{"value": False}]},
    {"attributes": {"status": False, "drupal_internal__nid": 4}},
    {"_source": {"status": "draft"}},
    {"meta": {"draft": True}},
]


@pytest.mark.parametrize("marks", RECORDS, ids=str)
def test_a_record_says_that_it_is_not_published(marks: dict[str, Any]) -> None:
    assert is_unpublished(marks)
    assert not is_unpublished({"title": "Pier"})


@pytest.mark.parametrize(
    "marks",
    [
        {"status": "breaking"},
        {"status": "updated"},
        {"status": "active"},
        {"status": "publish"},
        {"status": "unread"},
        {"status": 200},
        {"status": 0},
        {"state": "Archived"},
        {"is_archived": 1},
        {"is_public": False},
        {"published": "2024-03-05"},
        {"published": None},
        {"published": True},
        {"draft": "false"},
        {"draft": ""},
        {"post_password": ""},
        {"author": {"status": "deleted"}},
        {"visibility": "public"},
        {"text": "draft"},
        {"robots": "noindex"},
    ],
    ids=str,
)
def test_other_fields_do_not_mark_drafts(marks: dict[str, Any]) -> None:
    assert not is_unpublished(marks)


def test_deeply_nested_objects_are_searched_to_a_limit() -> None:
    record: dict[str, Any] = {"status": "draft"}
    for _ in range(10_000):
        record = {"data": record}
    assert not is_unpublished(record)


@pytest.mark.parametrize(
    ("name", "is_draft"),
    [
        ("blog/_drafts/pier.md", True),
        ("_drafts/pier.md", True),
        ("posts/draft_The-pier-4be7d0a1c2f3.html", True),
        ("posts/2024-03-05_The-pier-4be7d0a1c2f3.html", False),
        ("draft_report.html", False),
        ("drafts/pier.md", False),
        ("my_drafts/pier.md", False),
    ],
)
def test_names_of_drafts(name: str, is_draft: bool) -> None:
    assert is_draft_name(name) == is_draft


STATES = ("draft", "auto-draft", "pending", "private", "trash", "future", "inherit")


@pytest.mark.parametrize("ns", ["wp", "w"])
def test_an_export_of_wordpress(read: Read, tmp_path: Path, ns: str) -> None:
    hidden = [{"title": "Secret", "text": SECRET, "status": state} for state in STATES]
    locked = {"title": "Locked", "text": SECRET, "password": "sesame"}
    others = [{"title": kind, "text": SECRET, "kind": kind} for kind in ("attachment", "nav_menu_item", "revision")]
    (tmp_path / "blog.xml").write_text(wxr(*hidden, {}, locked, *others, ns=ns))
    found = read(tmp_path)
    assert texts(found) == [TOLD]
    assert sum(isinstance(item, Unpublished) for item in found) == len(STATES) + 1
    [notice] = [item for item in found if isinstance(item, Notice)]
    assert notice.reason.startswith("3 entries are attachments")
    assert texts(read(tmp_path, include_drafts=True)) == [*[SECRET] * len(STATES), TOLD, SECRET]
    assert is_not_an_article({"post_type": "attachment"})
    assert not is_not_an_article({"post_type": "page"})


ENTRY = "<entry><title>{0}</title><id>tag:bay.example,2024:{0}</id><content>{1}</content>{2}</entry>"
FEED = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:app="http://www.w3.org/2007/app"
xmlns:blogger="http://schemas.google.com/blogger/2018"><title>Bay</title>{}</feed>"""


def csv_of(*marks: str) -> str:
    rows = "".join(f"Title {n},{SECRET if mark else TOLD},{mark or 'published'}\n" for n, mark in enumerate(marks))
    return f"title,text,status\n{rows}"


GHOST = {
    "db": [
        {
            "meta": {"version": "5.2"},
            "data": {
                "posts": [
                    {"id": "1", "title": "Pier", "html": f"<p>{TOLD}</p>", "status": "published"},
                    {"id": "2", "title": "Secret", "html": f"<p>{SECRET}</p>", "status": "draft"},
                ],
                "users": [{"id": "1", "name": "Ada", "bio": "Writes."}],
                "tags": [{"id": "1", "name": "Bay", "description": "All of the bay."}],
            },
        }
    ]
}
STRAPI = {
    "data": [
        {"id": 1, "attributes": {"title": "Pier", "body": TOLD, "published": True}},
        {"id": 2, "attributes": {"title": "Secret", "body": SECRET, "published": False}},
    ]
}
MOVABLE_TYPE = """TITLE: {}
AUTHOR: Ada
DATE: 03/05/2024 10:00:00 AM
STATUS: {}
-----
BODY:
{}
-----
--------
"""
MESSAGE = "From: Ada <ada@bay.example>\nSubject: {}\nMessage-ID: <{}@bay.example>\n{}\n\n{}\n\n"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("posts.json", json.dumps([{"title": "P", "text": TOLD}, {"title": "S", "text": SECRET, "status": "draft"}])),
        ("posts.jsonl", f'{{"text": "{TOLD}", "draft": false}}\n{{"text": "{SECRET}", "draft": true}}\n'),
        ("ghost.json", json.dumps(GHOST)),
        ("strapi.json", json.dumps(STRAPI)),
        ("posts.csv", csv_of("", "draft", "Private")),
        (
            "blog.atom",
            FEED.format(
                ENTRY.format("a", TOLD, "<app:control><app:draft>no</app:draft></app:control>")
                + ENTRY.format("b", SECRET, "<app:control><app:draft>yes</app:draft></app:control>")
                + ENTRY.format("c", SECRET, "<blogger:status>SOFT_TRASHED</blogger:status>")
            ),
        ),
        ("blog.txt", MOVABLE_TYPE.format("Pier", "Publish", TOLD) + MOVABLE_TYPE.format("Secret", "Draft", SECRET)),
        (
            "all.mbox",
            "From - Tue Mar  5 10:00:00 2024\n"
            + MESSAGE.format("Pier", 1, "X-Gmail-Labels: Inbox,Drafts of the week\nX-Mozilla-Status: 0001", TOLD)
            + "From - Tue Mar  5 10:00:00 2024\n"
            + MESSAGE.format("Secret", 2, "X-Gmail-Labels: Opened,Trash", SECRET)
            + "From - Tue Mar  5 10:00:00 2024\n"
            + MESSAGE.format("Secret", 3, "X-Mozilla-Status: 0009", SECRET)
            + "From - Tue Mar  5 10:00:00 2024\n"
            + MESSAGE.format("Secret", 4, "X-Status: T", SECRET),
        ),
    ],
)
def test_what_is_not_published_is_left_out_of_every_kind(read: Read, tmp_path: Path, name: str, data: str) -> None:
    (tmp_path / name).write_text(data)
    found = read(tmp_path)
    assert [text.removeprefix("BODY:").strip() for text in texts(found)] == [TOLD]
    assert [type(item) for item in found if not isinstance(item, Article)].count(Unpublished) == len(found) - 1 > 0
    assert any(SECRET in text for text in texts(read(tmp_path, include_drafts=True)))


@pytest.mark.parametrize(
    "front",
    [
        "---\ntitle: Secret\ndraft: true\n---\n",
        "---\ntitle: Secret\npublished: false\n---\n",
        "---\ntitle: Secret\nstatus: Draft\n---\n",
        "---\ntitle: Secret\npublish: no\n---\n",
        '+++\ntitle = "Secret"\ndraft = true\n+++\n',
    ],
)
@pytest.mark.parametrize("name", ["secret.md", "secret.txt"])
def test_front_matter(read: Read, tmp_path: Path, front: str, name: str) -> None:
    (tmp_path / name).write_text(f"{front}\n{SECRET}\n")
    assert read(tmp_path) == [Unpublished(name)]
    [article] = read(tmp_path, include_drafts=True)
    assert isinstance(article, Article)
    assert (article.title, article.text) == ("Secret", SECRET)


PAGE = "<p>{}</p>"
COLUMNS = "post_id,post_date,is_published,email_sent_at,type,audience,title,subtitle\n"
PUBLISHED = "101.pier,2024-03-05T09:00:00Z,true,,newsletter,everyone,Storm closes the pier,Why\n"
UNPUBLISHED = "102.secret,,false,,newsletter,everyone,The secret,\n"


def substack(folder: Path, rows: str = PUBLISHED + UNPUBLISHED) -> Path:
    (folder / "posts").mkdir(parents=True, exist_ok=True)
    (folder / "posts.csv").write_text(COLUMNS + rows)
    (folder / "posts" / "101.pier.html").write_text(PAGE.format(TOLD))
    (folder / "posts" / "101.opens.csv").write_text("post_id,timestamp,email\n101,2024,ada@bay.example\n")
    (folder / "posts" / "102.secret.html").write_text(PAGE.format(SECRET))
    (folder / "email_list.bay.csv").write_text("email,created_at\nada@bay.example,2024\n")
    return folder


def packed(folder: Path, to: Path) -> Path:
    with zipfile.ZipFile(to, "w") as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            archive.write(file, file.relative_to(folder).as_posix())
    return to


@pytest.mark.parametrize("is_packed", [False, True])
def test_an_export_of_substack(read: Read, tmp_path: Path, is_packed: bool) -> None:
    folder = substack(tmp_path / "export")
    place = packed(folder, tmp_path / "export.zip") if is_packed else folder
    article, unpublished = sorted(read(place), key=lambda item: isinstance(item, Unpublished))
    assert isinstance(article, Article)
    assert isinstance(unpublished, Unpublished)
    assert (article.title, str(article.published), article.text) == ("Storm closes the pier", "2024-03-05", TOLD)
    titles = {item.title for item in read(place, include_drafts=True) if isinstance(item, Article)}
    assert titles == {"Storm closes the pier", "The secret"}


def test_files_that_are_named_as_drafts(read: Read, tmp_path: Path) -> None:
    (tmp_path / "_drafts").mkdir()
    (tmp_path / "_drafts" / "secret.md").write_text(SECRET)
    (tmp_path / "draft_Secret-4be7d0a1c2f3.html").write_text(PAGE.format(SECRET))
    assert {type(item) for item in read(tmp_path)} == {Unpublished}
    assert texts(read(packed(tmp_path, tmp_path / "blog.zip"))) == []
    assert texts(read(tmp_path / "_drafts")) == [SECRET], "the folder was asked for"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the model, whose loading is tested elsewhere."""
    monkeypatch.setattr("ingest.updater.load_embedder", lambda name: HashEmbedder())


def held(config: Config) -> list[str]:
    return sorted(entry.title for entry in Index(config.index, config.embedding_model).articles())


def told(report: IngestReport) -> list[str]:
    return [notice.reason.partition(" left out")[0] for notice in report.notices]


@pytest.mark.usefixtures("small")
def test_what_becomes_a_draft_leaves_the_index(tmp_path: Path, config: Config) -> None:
    first, second, empty = {"title": "A"}, {"title": "B", "text": SECRET}, {"title": "C", "text": ""}
    export = tmp_path / "blog.xml"
    export.write_text(wxr(first, second, empty))
    report = ingest([export], config)
    assert (held(config), report.notices) == (["A", "B", "C"], ())
    trashed = {**second, "status": "trash"}
    export.write_text(wxr(first, trashed, empty))
    report = ingest([export], config)
    assert (held(config), report.removed, report.failed) == (["A", "C"], 1, ())
    assert told(report) == ["1 entry that is not published was"]
    assert asdict(report)["notices"][0]["source"] == "blog.xml"
    report = ingest([export], config, options=Options(include_drafts=True))
    assert (held(config), report.notices) == (["A", "B", "C"], ())
    report = ingest([export], config)
    assert (held(config), report.removed) == (["A", "C"], 1)


@pytest.mark.usefixtures("small")
def test_a_source_of_nothing_but_drafts_is_no_failure(tmp_path: Path, config: Config) -> None:
    (tmp_path / "a.md").write_text(f"---\ndraft: true\n---\n{SECRET}")
    report = ingest([tmp_path / "a.md"], config)
    assert (report.seen, report.failed, len(report.notices)) == (0, (), 1)


@pytest.mark.usefixtures("small")
def test_what_becomes_a_draft_leaves_the_index_though_its_source_has_failures(tmp_path: Path, config: Config) -> None:
    records = tmp_path / "posts.jsonl"
    entries = [{"id": "a", "title": "A", "text": TOLD}, {"id": "b", "title": "B", "text": SECRET}]
    records.write_text("\n".join(map(json.dumps, entries)))
    ingest([records], config)
    entries[1]["status"] = "draft"
    records.write_text("\n".join([*map(json.dumps, entries), "{"]))
    report = ingest([records], config)
    assert (held(config), report.removed, len(report.failed)) == (["A"], 1, 1)


@pytest.mark.usefixtures("small")
def test_a_page_of_substack_follows_its_list(tmp_path: Path, config: Config) -> None:
    folder = substack(tmp_path / "export", PUBLISHED + UNPUBLISHED.replace("false", "true"))
    assert ingest([folder], config).added == 2
    substack(folder)
    report = ingest([folder], config)
    assert (held(config), report.removed) == (["Storm closes the pier"], 1)
