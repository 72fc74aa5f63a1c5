"""Reader of PDF, Word and EPUB: recognizes the format by the bytes, whatever the file is called."""

from __future__ import annotations

from types import MappingProxyType

from ingest.articles.coverage import with_notices
from ingest.content.archives import ZIP_STARTS, zip_kind
from ingest.content.types import Content, Options, Read, Reader
from ingest.readers.documents.docx import from_docx
from ingest.readers.documents.epub import from_epub
from ingest.readers.documents.pdf import from_pdf
from rag.errors import ReadError

_PDF, _OLD_WORD = b"%PDF-", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PDF_WITHIN = 1024
"""Bytes that may precede a PDF's signature."""
_READERS = MappingProxyType[str, Reader]({"pdf": from_pdf, "docx": from_docx, "epub": from_epub})


def from_document(content: Content, options: Options) -> Read:
    """A PDF, a Word document or an e-book as one article. Raises ReadError for anything else and for broken ones."""
    kind = document_kind(content, content.start(_PDF_WITHIN))
    if kind not in _READERS:
        old = content.start(len(_OLD_WORD)) == _OLD_WORD
        what = "is an old or a protected Office file" if old else "is not a PDF, a Word document or an e-book"
        raise ReadError(f"{what}; save it as .docx without a password, as .pdf, or as .txt")
    items = _READERS[kind](content, options)
    # A book's chapters are parts of one text, not several documents.
    yield from items if kind == "epub" else with_notices(content.name, items)


def document_kind(content: Content, start: bytes) -> str:
    """ "pdf", "docx" or "epub" by a content's bytes, `start` being the first; empty for anything else."""
    if _PDF in start[:_PDF_WITHIN]:
        return "pdf"
    if not start.startswith(ZIP_STARTS):
        return ""
    with content.open() as file:
        return zip_kind(file)
