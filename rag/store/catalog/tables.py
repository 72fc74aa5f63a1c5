"""The catalogue's tables: articles, passages, places and source states."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

_Key = BigInteger().with_variant(Integer, "sqlite")  # in SQLite only INTEGER names the row's own number
tables = MetaData()

state = Table(
    "state",
    tables,
    Column("id", Integer, primary_key=True),
    Column("format", Integer, nullable=False),
    Column("identity", String(32), nullable=False),
    Column("embedding_model", Text, nullable=False),
    Column("splitter", Text, nullable=False),
    Column("dimension", Integer, nullable=False),
    Column("generation", _Key, nullable=False),
    Column("next_article", _Key, nullable=False),
    Column("next_passage", _Key, nullable=False),
    Column("articles", Integer, nullable=False),
    Column("passages", Integer, nullable=False),
)
"""One row: what the index was built with, the number of writes, the next free keys, and the numbers of rows.

Keys are never used twice, since the derived indexes refer to them. `identity` distinguishes an index from another one
whose derived indexes lie in the same place.
"""

articles = Table(
    "articles",
    tables,
    Column("key", _Key, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("first_passage", _Key, nullable=False),
    Column("passages", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("published", Integer, nullable=False),
    Column("origin", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("extra", Text, nullable=False),
    Column("digest", String(32), nullable=False),
    Column("text_digest", String(32), nullable=False, index=True),
    Column("duplicate_group", String(32), nullable=False, index=True),
    Column("copies", Text, nullable=False),
    Column("sketch", Text, nullable=False),
    Column("added", String(32), nullable=False),
    Column("checksum", _Key, nullable=False),
    Index("articles_by_published", "published", "passages"),
    Index("articles_by_source", "source", "published", "passages"),
)
"""An article's passages have the keys from `first_passage` on. `published` is a `date_number`; `extra` and `copies` are
JSON. `checksum` is that of all fields but `copies`."""

listing = Table(
    "listing",
    tables,
    Column("key", _Key, primary_key=True, autoincrement=False),
    Column("words", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("published", Integer, nullable=False),
    Column("passages", Integer, nullable=False),
    Column("added", String(32), nullable=False),
)
"""What an article is searched for and sorted by, case-folded; narrow, so that reading all rows takes little time.

`name` is the title, or the id without one; `words` are the title, source, author, id and date, joined by spaces.
"""
Index("listing_by_name", listing.c.name)
Index("listing_by_source", listing.c.source, listing.c.name)
Index("listing_by_published", listing.c.published, listing.c.name.desc())
Index("listing_by_passages", listing.c.passages, listing.c.name.desc())
Index("listing_by_added", listing.c.added, listing.c.name.desc())

passages = Table(
    "passages",
    tables,
    Column("key", _Key, primary_key=True, autoincrement=False),
    Column("article_key", _Key, ForeignKey("articles.key"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("sentences", Text, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("sentence_vectors", LargeBinary, nullable=False),
    Column("checksum", _Key, nullable=False),
    Column("vector_checksum", _Key, nullable=False),
)
"""A row never changes: an article that changes gets new passages. Joined, an article's passages are its text.

`sentences` is a JSON list of spans; `vector` is quantized, and so are `sentence_vectors`, without scales.
The checksums are those of `rag.store.catalog.rows`: what a damaged disk returns is not quoted.
"""

bands = Table(
    "bands",
    tables,
    Column("hash", BigInteger, primary_key=True, autoincrement=False),
    Column("article_key", _Key, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
"""Hashes of parts of articles' sketches, by which near duplicates are found; see rows.bands_of."""

places = Table(
    "places",
    tables,
    Column("article_key", _Key, ForeignKey("articles.key"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    Column("origin", Text, nullable=False, index=True),
)
"""Where articles come from: the origin of each (number 0), and those of its copies, with the id it has there."""

facets = Table(
    "facets",
    tables,
    Column("key", Integer, primary_key=True),
    Column("source", Text, nullable=False, unique=True),
    Column("articles", Integer, nullable=False),
)
"""Every source that an article has had, with the number of its articles now."""

removals = Table(
    "removals",
    tables,
    Column("article_key", _Key, primary_key=True, autoincrement=False),
    Column("generation", _Key, nullable=False, index=True),
    Column("article_id", Text, nullable=False),
    Column("first_passage", _Key, nullable=False),
    Column("passages", Integer, nullable=False),
)
"""Removed versions of articles, kept until the derived indexes have removed them too."""

sources = Table(
    "sources",
    tables,
    Column("origin", Text, primary_key=True),
    Column("name", Text, nullable=False, index=True),
    Column("revision", Text, nullable=False),
    Column("options", Text, nullable=False),
    Column("articles", Integer, nullable=False),
    Column("pages", Text, nullable=False),
)
"""The state of each source that was read to its end; `pages` is JSON."""
