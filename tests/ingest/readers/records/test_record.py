"""JSON, JSON Lines, CSV and Parquet as articles."""

from __future__ import annotations

import builtins
import io
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.articles.fields import LONGEST_ARTICLE
from ingest.content.types import Content, Limits, Options, Reader
from ingest.readers.records.json import from_json, from_jsonl
from ingest.readers.records.record import NO_TEXT
from ingest.readers.records.tabular import from_csv, from_parquet
from rag.errors import ReadError
from rag.schema import Article, Failure

TEXT = "The pier was closed on Tuesday."
OTHER = "It will open in the spring."
DAY = date(2024, 3, 5)


def content(name: str, data: str | bytes) -> Content:
    kept = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return Content(name, f"/{name}", lambda: io.BytesIO(kept), len(kept))


def read(reader: Reader, name: str, data: str | bytes, options: Options = Options()) -> list[Article | Failure]:  # noqa: B008
    return list(reader(content(name, data), options))


def articles(found: list[Article | Failure]) -> list[Article]:
    assert not [item for item in found if isinstance(item, Failure)]
    return [item for item in found if isinstance(item, Article)]


def of_json(value: Any, options: Options = Options()) -> list[Article]:  # noqa: B008
    return articles(read(from_json, "a.json", json.dumps(value), options))


def of_csv(text: str | bytes, options: Options = Options()) -> list[Article | Failure]:  # noqa: B008
    return read(from_csv, "a.csv", text, options)


def test_json_lines_and_what_is_wrong_with_each() -> None:
    lines = [
        '{"id": "1", "title": "One", "text": "First text.", "date": "2024-03-05", "source": null}',
        "",
        '{"id": "2", "title": "Two", "text"',
        '{"id": "3", "title": "Three"}',
        "[1, 2]",
        '{"id": "1", "title": "Again", "text": "Second text."}',
        '{"title": "No id", "text": "Third\\u0000 text.", "url": 5}',
        '{"title": "No id", "text": "Fourth text."}',
        '{"id": "8", "text": "  \\n "}',
        '{"id": "' + "9" * 600 + '", "text": "Fifth text."}',
    ]
    found = read(from_jsonl, "wire.jsonl", "\n".join(lines))
    assert [item.id for item in found if isinstance(item, Article)] == ["1", "wire.jsonl#no-id", "wire.jsonl#no-id-2"]
    assert [item.source for item in found if isinstance(item, Failure)] == [
        f"wire.jsonl, line {n}" for n in (3, 4, 5, 6, 9, 10)
    ]
    first = found[0]
    assert isinstance(first, Article)
    assert (first.source, first.published, first.origin) == ("wire.jsonl", DAY, "/wire.jsonl")
    assert any("was used by an earlier entry" in item.reason for item in found if isinstance(item, Failure))


def test_json_as_an_object_or_a_list() -> None:
    record = {"id": "1", "title": "One", "text": "Text."}
    assert [type(item) for item in read(from_json, "a.json", json.dumps(record))] == [Article]
    found = read(from_json, "a.json", json.dumps([record, {"id": "2"}, 5, None]))
    assert [type(item) for item in found] == [Article, Failure, Failure, Failure]
    assert isinstance(found[1], Failure)
    assert found[1].source == "a.json, entry 2"
    for broken in ("{", "[" * 100_000, "", '[{"text": "a"}'):
        with pytest.raises(ReadError, match="not JSON"):
            read(from_json, "a.json", broken)
    with pytest.raises(ReadError, match="larger than 5 bytes"):
        read(from_json, "a.json", "[1, 2, 3]", Options(limits=Limits(bytes=5)))
    with pytest.raises(ReadError, match="binary"):
        read(from_json, "a.json", b"\x89PNG\0\0\0")


def test_lines_called_json_and_a_list_called_lines() -> None:
    lines = '{"title": "A", "text": "One."}\n{"title": "B", "text": "Two."}\n{"title"'
    found = read(from_json, "a.json", lines)
    assert [type(item) for item in found] == [Article, Article, Failure]
    [article] = articles(read(from_jsonl, "a.jsonl", '[\n  {"title": "A",\n  "text": "One."}\n]'))
    assert article.text == "One."


SHAPES: dict[str, Any] = {
    "an answer of a search": {
        "status": "ok",
        "totalResults": 1,
        "articles": [
            {"source": {"id": None, "name": "Bay Times"}, "author": "Ada Moor", "title": "The pier", "content": TEXT,
             "description": "A pier.", "url": "https://bay.example/1", "publishedAt": "2024-03-05T10:00:00Z"}
        ],
    },
    "fields in an object of their own": {
        "response": {
            "status": "ok",
            "results": [
                {"type": "article", "webPublicationDate": "2024-03-05T10:00:00Z", "webUrl": "https://bay.example/1",
                 "fields": {"headline": "The pier", "bodyText": TEXT, "byline": "Ada Moor", "publication": "Bay Times"}}
            ],
        }
    },
    "an archive": {
        "response": {
            "docs": [
                {"abstract": "Short.", "web_url": "https://bay.example/1", "lead_paragraph": TEXT, "snippet": "",
                 "source": "Bay Times", "headline": {"main": "The pier", "kicker": None},
                 "byline": {"original": "By Ada Moor", "person": [{"firstname": "Ada", "lastname": "Moor"}]},
                 "pub_date": "2024-03-05T10:00:00+0000", "_id": "bay://1", "keywords": [{"name": "x", "value": "y"}]}
            ],
            "meta": {"hits": 1},
        }
    },
    "a crawler": [
        {"authors": ["Ada Moor"], "date_download": "2024-03-09 01:00:00", "date_publish": "2024-03-05 10:00:00",
         "maintext": TEXT, "source_domain": "Bay Times", "title": "The pier", "url": "https://bay.example/1",
         "title_page": None, "localpath": None}
    ],
    "data of a page": {
        "@context": "https://schema.org", "@type": "NewsArticle", "headline": "The pier", "articleBody": TEXT,
        "datePublished": "2024-03-05", "author": [{"@type": "Person", "givenName": "Ada", "familyName": "Moor"}],
        "publisher": {"@type": "Organization", "name": "Bay Times"}, "url": "https://bay.example/1",
    },
    "posts": [
        {"id": 7, "date": "2024-03-05T10:00:00", "guid": {"rendered": "https://bay.example/?p=7"}, "author": "Ada Moor",
         "link": "https://bay.example/1", "title": {"rendered": "The&nbsp;pier"}, "site_name": "Bay Times",
         "content": {"rendered": "<p>The pier was closed on <b>Tuesday</b>.</p>", "protected": False}}
    ],
    "a feed": {
        "version": "https://jsonfeed.org/version/1.1", "title": "Bay Times", "description": "All of the bay",
        "authors": [{"name": "Bo"}],
        "items": [
            {"url": "https://bay.example/1", "title": "The pier", "content_html": f"<p>{TEXT}</p>",
             "source": "Bay Times", "date_published": "2024-03-05T10:00:00Z", "authors": [{"name": "Ada Moor"}]}
        ],
    },
    "a search index": {
        "hits": {
            "total": 1,
            "hits": [
                {"_index": "news", "_id": "7", "_source":
                    {"title": "The pier", "body": TEXT, "date": "2024-03-05", "author": "Ada Moor",
                     "publisher": "Bay Times", "link": "https://bay.example/1"}}
            ],
        }
    },
    "a database": [
        {"_id": {"$oid": "65e6"}, "title": "The pier", "text": TEXT, "author": {"name": "Ada Moor"},
         "date": {"$date": {"$numberLong": "1709632800000"}}, "source": "Bay Times", "url": "https://bay.example/1"}
    ],
    "an article in an article": {
        "article": {"title": "The pier", "body": TEXT, "created": 1709632800, "byline": "by Ada Moor",
                    "outlet": "Bay Times", "permalink": "https://bay.example/1"}
    },
    "blocks": [
        {"title": "The pier", "article": [{"type": "p", "text": "The pier was closed on Tuesday."}, {"type": "image"}],
         "publication": "Bay Times", "author": "Ada Moor", "date": "March 5, 2024", "url": "https://bay.example/1"}
    ],
    "pages": {
        "content": [
            {"title": "The pier", "text": TEXT, "date": "Tue, 05 Mar 2024 10:00:00 +0000", "author": ["Ada Moor"],
             "domain": "Bay Times", "url": "https://bay.example/1", "published": True}
        ],
        "totalPages": 1,
    },
    "escaped markup": [
        {"title": "The pier", "text": "&lt;p&gt;The pier was closed on Tuesday.&lt;/p&gt;", "date": "20240305",
         "author": "Ada Moor", "source": "Bay Times", "url": "https://bay.example/1"}
    ],
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_exports(shape: str) -> None:
    [article] = of_json(SHAPES[shape])
    assert (article.title, article.text) == ("The pier", TEXT)
    assert (article.author, article.source, article.published) == ("Ada Moor", "Bay Times", DAY)
    assert article.url == "https://bay.example/1"


def test_ids_of_exports() -> None:
    ids = {shape: of_json(SHAPES[shape])[0].id for shape in SHAPES}
    assert ids["an archive"] == "bay://1"
    assert (ids["posts"], ids["a search index"], ids["a database"]) == ("7", "7", "65e6")
    assert ids["a crawler"] == "a.json#the-pier"


def test_several_lists_are_an_error() -> None:
    found = {"news": [{"title": "a", "text": TEXT}], "sport": [{"title": "b", "text": TEXT}]}
    with pytest.raises(ReadError, match=r"several lists of objects \(news, sport\)"):
        of_json(found)
    assert len(of_json({**found, "sport": [{"name": "no text"}]})) == 1
    assert [type(item) for item in read(from_json, "a.json", '{"articles": []}')] == [Failure]


def test_entries_without_a_text_list_their_fields() -> None:
    record = {"Hdl": "The pier", "Verf": "Ada Moor", **{f"f{n}": "x" for n in range(20)}}
    found = read(from_json, "a.json", json.dumps([record, {"body": " ", "id": 1}, 5]))
    assert found == [
        Failure(
            "a.json, entry 1",
            "has no text under a known name; say which field it is with --map text=NAME; "
            "it has: Hdl, Verf, f0, f1, f2, f3, f4, f5, f6, f7",
        ),
        Failure(
            "a.json, entry 2",
            "has nothing in its field 'body'; say which field it is with --map text=NAME; it has: body, id",
        ),
        Failure("a.json, entry 3", NO_TEXT),
    ]
    assert read(from_json, "a.json", "[{}]") == [Failure("a.json, entry 1", NO_TEXT)]


@pytest.mark.parametrize(
    ("count", "last"),
    [(4, "1 more entry has no text either"), (1_234, "1,231 more entries have no text either")],
)
def test_many_entries_without_a_text_are_counted(count: int, last: str) -> None:
    lines = ['{"Hdl": "The pier"}', "5"] * (count // 2) + ['{"text": "One."}', '{"text"']
    found = read(from_jsonl, "a.jsonl", "\n".join(lines))
    assert [item.source for item in found[:3] if isinstance(item, Failure)] == [f"a.jsonl, line {n}" for n in (1, 2, 3)]
    assert isinstance(found[3], Article)
    assert isinstance(found[4], Failure)
    assert found[4].source == f"a.jsonl, line {count + 2}"
    assert found[5:] == [Failure("a.jsonl", last)]
    lacking = read(from_jsonl, "a.jsonl", '{"a": 1}\n' * 5, Options(fields={"text": "txt"}))
    assert len(lacking) == 4
    assert lacking[-1] == Failure("a.jsonl", "2 more entries have no text either")


def test_a_summary_stands_in_for_a_text() -> None:
    record = {"title": "A", "description": "Short.", "summary": f"{TEXT} {OTHER}", "content": None}
    [article] = of_json(record)
    assert article.text == f"{TEXT} {OTHER}"
    assert article.extra == (("description", "Short."),)


def test_markup_in_fields() -> None:
    [article] = of_json(
        {
            "title": "<b>Kelm&#8217;s</b> pier",
            "text": f"<h2>What it costs</h2><p>{TEXT}</p><ul><li>Ten &amp; more</ul>",
            "author": "Moor &amp; Lind",
            "teaser": "<p>Read <i>this</i></p>",
        }
    )
    assert (article.title, article.author) == ("Kelm’s pier", "Moor & Lind")
    assert article.text == f"What it costs\n\n{TEXT}\n\nTen & more"
    assert [article.text[start:end] for start, end in article.captions] == ["What it costs"]
    assert article.extra == (("teaser", "Read this"),)


def test_plain_text_is_not_markup() -> None:
    texts = ["a < b and c > d", "1 <3 you", "Tom &amp; Ann\n\n* one", "lines\nof\na poem"]
    found = of_json([{"title": "t", "text": text} for text in texts])
    assert [article.text for article in found] == [texts[0], texts[1], "Tom & Ann\n\n* one", texts[3]]


def test_unknown_fields_are_kept_within_bounds() -> None:
    record = {"text": TEXT, "views": 7, "live": True, "tags": ["a", "b"], "place": {"name": "Kelm"}, "raw": {"a": {}},
              "score": float("nan"), "vector": [0.5] * 800, "long": "word " * 5_000}  # fmt: skip
    [article] = of_json(record)
    extra = dict(article.extra)
    assert len(extra.pop("long")) == 500
    assert extra == {"views": "7", "live": "True", "tags": "a, b", "place": "Kelm"}
    [article] = of_json({"text": TEXT, **{f"f{n}": "x" for n in range(100)}})
    assert len(article.extra) == 30


def test_fields_mapped_by_name() -> None:
    options = Options(fields={"text": "txt", "title": "meta.head", "date": "meta.when"})
    [article] = of_json({"txt": TEXT, "body": OTHER, "meta": {"head": "The pier", "when": "2024-03-05"}}, options)
    assert (article.text, article.title, article.published) == (TEXT, "The pier", DAY)
    [article] = of_json({"txt": TEXT, "meta": {"head": None, "when": ""}}, options)
    assert article.title == "a"
    [article] = of_json({"txt": TEXT, "meta": None}, options)
    [article, *failures] = read(
        from_json, "a.json", json.dumps([{"txt": TEXT, "meta": {"when": ""}}, {"a": 1}]), options
    )
    assert isinstance(article, Article)
    assert failures == [
        Failure("a.json, entry 2", "has no field 'txt' to take its text from; name one of those it has: a"),
        Failure("a.json", "has no field 'meta.head' to take its title from; name one of those it has: a"),
    ]


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2024-03-05T23:59:59Z", DAY),
        (1709632800, DAY),
        (1709632800000, DAY),
        ("1709632800.5", DAY),
        ("9999-12-31", date(9999, 12, 31)),
        ("10000-01-01", None),
        (10**30, None),
        ("soon", None),
        ([], None),
        (True, None),
        ({"year": 2024}, None),
    ],
)
def test_dates(value: object, day: date | None) -> None:
    [article] = of_json({"text": TEXT, "date": value})
    assert article.published == day


def test_json_that_strict_parsers_refuse() -> None:
    lines = [
        '{"title": "a\\ud800", "text": "x \\ud800 y", "author": NaN}',
        '{"text": "b \\u0007\\u200bc", "n": Infinity}',
    ]
    first, second = articles(read(from_jsonl, "a.jsonl", "\n".join(lines)))
    assert (first.title, first.text, first.author) == ("a?", "x ? y", "")
    assert second.text == "b c"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-be", "utf-32-be"])
def test_json_lines_with_a_byte_order_mark(encoding: str) -> None:
    text = '{"title": "Пирс", "text": "Не \u2028работает."}\n\n{"title": "B", "text": "Два."}\n{"title"'
    mark = "" if encoding in ("utf-8-sig", "utf-16", "utf-32") else "\ufeff"
    found = read(from_jsonl, "a.jsonl", (mark + text).encode(encoding))
    assert [item.title if isinstance(item, Article) else item.source for item in found] == [
        "Пирс",
        "B",
        "a.jsonl, line 4",
    ]


def test_json_lines_in_an_older_encoding() -> None:
    text = '{"title": "Café", "text": "Déjà vu à l’été, où l’on a déjà été."}\r\n' * 2
    assert [article.title for article in articles(read(from_jsonl, "a.jsonl", text.encode("cp1252")))] == ["Café"] * 2


def test_right_to_left_text() -> None:
    text = "أُغلق الرصيف\u200f يوم الثلاثاء (حتى الربيع)."
    [article] = of_json({"title": "הרציף נסגר", "text": text})
    assert (article.title, article.text) == ("הרציף נסגר", text)


def test_one_word_without_an_end() -> None:
    [article] = of_json({"text": "a" * 1_000_000})
    assert len(article.text) == 1_000_000
    [failure] = read(from_json, "a.json", json.dumps({"text": "a" * (LONGEST_ARTICLE + 1)}))
    assert isinstance(failure, Failure)
    assert "split it" in failure.reason


def test_a_line_over_the_limit_fails_alone() -> None:
    line = '{"title": "A", "text": "One."}'
    data = f'{line}\n{{"text": "{"x" * 500}"}}\n{line}'
    found = read(from_jsonl, "a.jsonl", data, Options(limits=Limits(bytes=100)))
    assert [type(item) for item in found] == [Article, Failure, Article]
    assert found[1] == Failure("a.jsonl, line 2", "is longer than 100 bytes; correct or delete the line")
    wide = read(from_jsonl, "a.jsonl", data.encode("utf-16"), Options(limits=Limits(bytes=100)))
    assert [type(item) for item in wide] == [Article, Failure, Article]


def test_one_broken_line_of_many_fails_alone() -> None:
    lines = [json.dumps({"id": n, "title": "A", "text": "The pier."}) for n in range(1, 70_001)]
    lines[-1] = lines[-1][:-5]
    *found, last = read(from_jsonl, "dump.jsonl", "\n".join(lines))
    assert len(articles(found)) == 69_999
    assert isinstance(last, Failure)
    assert last.source == "dump.jsonl, line 70000"


def test_lines_are_read_one_at_a_time() -> None:
    served = 0

    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            nonlocal served
            served += 1
            buffer[:] = (b'{"text": "The pier."}\n' * (len(buffer) // 22 + 1))[: len(buffer) // 22 * 22].ljust(
                len(buffer)
            )
            return len(buffer)

    source = Content("a.jsonl", "/a.jsonl", lambda: io.BufferedReader(Endless()), 0)
    found = from_jsonl(source, Options())
    assert all(isinstance(next(found), Article) for _ in range(1_000))
    assert served < 50


def test_csv() -> None:
    text = (
        "id;Title;full_text;published at;tags;\n"
        '1;A;"One; ""two""\n\nthree";2024-03-05;x;\n'
        "2;B\n"
        "\n"
        "3;C;Four;;;;\n"
        "4;D;Five;;;;surplus\n"
        "5;E;S\0ix;;;\n"
        "1;F;Again;;;\n"
        '6;G;"Seven'
    )
    found = of_csv(text)
    first, third = (item for item in found if isinstance(item, Article))
    assert (first.id, first.title, first.text, first.published) == ("1", "A", 'One; "two"\n\nthree', DAY)
    assert first.extra == (("tags", "x"),)
    assert third.text == "Four"
    assert [item.source for item in found if isinstance(item, Failure)] == [
        f"a.csv, line {n}" for n in (5, 8, 9, 10, 11)
    ]


@pytest.mark.parametrize(
    "data",
    [
        "title,text\nCafé,Was closed\n",
        "title;text\r\nCafé;Was closed\r\n",
        "title\ttext\nCafé\tWas closed",
        'title|"text"\nCafé|"Was closed"\n',
        "sep=;\ntitle;text\nCafé;Was closed\n",
        "\n\n,title,text,text\n0,Café,Was closed,no\n",
        "\ufefftitle,text\nCafé,Was closed\n",
        "title,text\nCafé,<p>Was closed</p>\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_csv_of_any_kind(data: str, encoding: str) -> None:
    [article] = articles(of_csv(data.encode(encoding)))
    assert (article.title, article.text) == ("Café", "Was closed")


def test_csv_in_an_older_encoding() -> None:
    text = (
        "La jetée est fermée depuis mardi à cause d’une tempête, a déclaré “hier” la capitainerie du port, très déçue."
    )
    [article] = articles(of_csv(f"title|text\nFermée|{text}\n".encode("cp1252")))
    assert (article.title, article.text) == ("Fermée", text)


def test_csv_with_fields_too_long_or_no_header() -> None:
    long = "word " * (LONGEST_ARTICLE // 4)
    found = of_csv(f"title,text\nA,{long}\nB,Two\n")
    assert [type(item) for item in found] == [Failure, Article]
    with pytest.raises(ReadError, match=r"no column with a known name for the text; .* it has: 1, The pier was closed"):
        of_csv(f"1,{TEXT}\n2,{OTHER}\n")
    with pytest.raises(ReadError, match="no columns"):
        of_csv("")
    with pytest.raises(ReadError, match="binary"):
        of_csv(b"\x89PNG\0\0")
    with pytest.raises(ReadError, match="no field 'body' to take its text from; name one of those it has: title, text"):
        of_csv("title,text\na,b", Options(fields={"text": "body"}))
    [article] = articles(of_csv("a,b\n1,The pier", Options(fields={"text": "b"})))
    assert article.text == "The pier"


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet as pq

    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


def test_parquet() -> None:
    import pyarrow as pa

    moment = datetime(2024, 3, 5, 10, tzinfo=UTC)
    data = parquet(
        {
            "id": [1, 2, 3, 4],
            "title": pa.array(["A", "B", "C", None]).dictionary_encode(),
            "text": [TEXT, f"<p>{TEXT}</p><p>{OTHER}</p>", "", OTHER],
            "date": pa.array([moment, None, moment, moment], pa.timestamp("ns", "UTC")),
            "meta": [{"author": "Ada Moor"}, None, {"author": None}, {"author": "Bo"}],
            "tags": [["x", "y"], [], None, ["z"]],
            "vector": [[0.5, 1.0]] * 4,
            "image": [b"\x89PNG"] * 4,
            "far": pa.array([2**61, 0, 0, 0], pa.timestamp("ms")),
            "day": pa.array([date(2024, 3, 5)] * 4),
        },
        row_group_size=2,
    )
    found = read(from_parquet, "a.parquet", data, Options(fields={"author": "meta.author"}))
    first, second, third, fourth = found
    assert isinstance(third, Failure)
    assert third.source == "a.parquet, row 3"
    assert third.reason.startswith("has nothing in its field 'text'; ")
    assert isinstance(first, Article)
    assert isinstance(second, Article)
    assert isinstance(fourth, Article)
    assert (first.id, first.title, first.text, first.published) == ("1", "A", TEXT, DAY)
    assert (first.author, second.author) == ("Ada Moor", "")
    assert first.extra == (("tags", "x, y"), ("day", "2024-03-05"))
    assert second.text == f"{TEXT}\n\n{OTHER}"
    assert fourth.title == "a"


def test_parquet_text_as_bytes() -> None:
    [article] = articles(read(from_parquet, "a.parquet", parquet({"title": ["A"], "body": ["Café".encode()]})))
    assert article.text == "Café"


def test_files_that_are_not_parquet() -> None:
    data = parquet({"title": ["A"], "text": [TEXT]})
    for broken in (b"", b"PAR1", data[:-9], data[:40], b"PAR1" + b"\xff" * 200 + b"PAR1", data[:9] + data[50:]):
        with pytest.raises(ReadError, match="is broken, or not Parquet"):
            read(from_parquet, "a.parquet", broken)
    with pytest.raises(ReadError, match="no column with a known name for the text"):
        read(from_parquet, "a.parquet", parquet({"n": [1]}))
    with pytest.raises(ReadError, match="no field 'body'"):
        read(from_parquet, "a.parquet", data, Options(fields={"text": "body"}))


def test_parquet_that_would_fill_the_memory() -> None:
    data = parquet({"title": ["A"], "text": ["a" * 50_000_000]}, compression="zstd")
    with pytest.raises(ReadError, match="it would be 50,"):
        read(from_parquet, "a.parquet", data)


def test_parquet_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ReadError, match=r"pip install 'pullquote\[parquet\]'"):
        read(from_parquet, "a.parquet", b"PAR1")


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(alphabet=st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["text", "name", "$date", "x"]), inner),
    max_leaves=12,
)
names = ("id", "title", "text", "date", "source", "url", "author", "description", "_source", "<p>", "language")
found_records = st.fixed_dictionaries({}, optional=dict.fromkeys(names, json_values))
mappings = st.dictionaries(
    st.sampled_from(["title", "text", "date"]), st.sampled_from(["text", "x", "text.name", "id"])
)


def check(read_all: Callable[[], list[Article | Failure]]) -> None:
    try:
        found = read_all()
    except ReadError:
        return
    ids = [item.id for item in found if isinstance(item, Article)]
    assert len(ids) == len(set(ids))
    for item in found:
        assert isinstance(item, (Article, Failure))
        if isinstance(item, Article):
            "".join((item.id, item.title, item.text, item.source, item.url, item.author, str(item.extra))).encode()
            assert all(0 <= start < end <= len(item.text) for start, end in item.captions)


@given(st.lists(found_records, max_size=5) | json_values, mappings)
def test_any_records_make_articles_or_failures(found: Any, mapping: dict[str, str]) -> None:
    options = Options(fields=mapping)
    check(lambda: read(from_json, "x.json", json.dumps(found), options))
    lines = "\n".join(map(json.dumps, found if isinstance(found, list) else [found]))
    check(lambda: read(from_jsonl, "x.jsonl", lines, options))


PIECES = [
    b'{"text": "a"}', b'{"text":', b"\n", b"[", b"]", b"{", b"}", b",", b'"', b"\0", b"\xff\xfe", b"\xef\xbb\xbf",
    b"title,text\n", b"a,b\n", b'"a', b";", b"\t", b"sep=;\n", b"\xe9", b"\r", b"NaN", b"\\ud800", b"PAR1",
]  # fmt: skip
pieces = st.lists(st.sampled_from(PIECES) | st.binary(max_size=5), max_size=30).map(b"".join)


@given(pieces, mappings)
def test_any_bytes_make_articles_or_failures(data: bytes, mapping: dict[str, str]) -> None:
    for reader in (from_json, from_jsonl, from_csv, from_parquet):
        check(lambda reader=reader: read(reader, "x", data, Options(fields=mapping)))  # type: ignore[misc]


rows = st.text(alphabet='abé,;\t|"\n\r\0 <p>', max_size=120)


@given(st.sampled_from(["title,text\n", "id;text;date\n", "text\n", "\n\ntext\ttitle\n"]), rows)
def test_any_rows_make_articles_or_failures(header: str, text: str) -> None:
    check(lambda: of_csv(header + text))


PARQUET = parquet({"id": ["1", "2"], "text": [TEXT, OTHER], "tags": [["a"], None], "day": [DAY, None]})


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, len(PARQUET) - 1), st.integers(0, 255)), max_size=6), st.integers(0, 40))
def test_any_damage_to_parquet_is_reported(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(PARQUET)
    for place, value in changes:
        data[place] = value
    check(lambda: read(from_parquet, "x.parquet", bytes(data[: len(data) - (cut if cut > 30 else 0)])))


def test_marked_blocks_of_a_field_are_not_quoted() -> None:
    page = "<dl><dt>Is it open?</dt><dd>It is shut.</dl><p>Bring:</p><ul><li>bread</ul><p><a href=c>More</a></p>"
    [found] = of_json({"title": "Pier", "text": page})
    assert [found.text[start:end] for start, end in found.captions] == ["Is it open?", "More"]
    assert [found.text[start:end] for start, end in found.lists] == ["bread"]
