"""What articles, files, models and readers write is shown and never run: forty ways to try, in every field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.articles.passages import SPLITTER, split
from ingest.updater import Model
from rag.chain import Chain
from rag.config import Config
from rag.models.embedding import load_embedder
from rag.schema import Article
from rag.store.catalog.rows import StoredArticle
from rag.store.writer import open_for_writing
from tests.support.llm_server import scripted
from tests.ui.page.test_browser import CHROMIUM, ask, browser, opened, tab  # noqa: F401
from tests.ui.server.test_app import Service, _no_open_loops, served  # noqa: F401
from ui.page.app import build_app
from ui.page.view import Stores
from ui.services.chat import Openers
from ui.services.uploads import Uploads

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Page, expect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium or google-chrome on the PATH"),
]
RUN = "window.hacked=1"
AWAY = "http://203.0.113.5/x"
"""An address that nobody answers at (RFC 5737)."""
HOSTILE = (
    f"<script>{RUN}</script>",
    f"<ScRiPt >{RUN}</sCrIpT >",
    f"</script><script>{RUN}</script>",
    f"</title><script>{RUN}</script>",
    f"</textarea><script>{RUN}</script>",
    f"</style><script>{RUN}</script>",
    f"--><script>{RUN}</script>",
    f"]]><script>{RUN}</script>",
    f"<script src={AWAY}.js></script>",
    f'<img src=x onerror="{RUN}">',
    f"<img src=x onerror={RUN}//",
    f'"><img src=x onerror={RUN}>',
    f"'><img src=x onerror={RUN}>",
    f"`><img src=x onerror={RUN}>",
    f'" autofocus onfocus="{RUN}" x="',
    f"' autofocus onfocus='{RUN}' x='",
    f'" onmouseover="{RUN}',
    f"<svg onload={RUN}>",
    f"<svg/onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f"<svg><a xlink:href='javascript:{RUN}'><text y=9>x</text></a></svg>",
    f"<math><mtext><table><mglyph><style><img src=x onerror={RUN}></style></mglyph></table></mtext></math>",
    f"<details open ontoggle={RUN}>x</details>",
    f"<body onload={RUN}>",
    f"<input autofocus onfocus={RUN}>",
    f"<video><source onerror={RUN}></video>",
    f"<audio src=x onerror={RUN}>",
    f"<marquee onstart={RUN}>x</marquee>",
    f"<iframe src='javascript:parent.{RUN}'></iframe>",
    f"<iframe srcdoc='<script>parent.{RUN}</script>'></iframe>",
    f"<object data='javascript:{RUN}'></object>",
    f"<embed src='javascript:{RUN}'>",
    f"<form action='javascript:{RUN}'><button>x</button></form>",
    f"<a href='javascript:{RUN}'>x</a>",
    f"[x](javascript:{RUN}) ![x]({AWAY}.png) <{AWAY}>",
    f"<link rel=stylesheet href={AWAY}.css><style>@import '{AWAY}.css'; * {{ background: url({AWAY}.png) }}</style>",
    f"<meta http-equiv=refresh content='0;url=javascript:{RUN}'><base href={AWAY}/>",
    f"&lt;script&gt;{RUN}&lt;/script&gt; &#60;img src=x onerror={RUN}&#62;",
    f"\\x3cscript\\x3e{RUN}\\x3c/script\\x3e \\u003cimg src=x onerror={RUN}\\u003e",
    f"{{{{constructor.constructor('{RUN}')()}}}} ${{{RUN}}} $x$ $$\\href{{javascript:{RUN}}}{{x}}$$ <%= {RUN} %>",
    f"\u202e<script>{RUN}</script>\u2066\x00\x1b[31m",
)
END = "amund ewick iston olver urne yssa"
NAMES = [start + end for start in ("Bram", "Dov", "Fenn", "Gil", "Hask", "Jor", "Kelm") for end in END.split()]


def article(number: int, text: str) -> Article:
    """One that has the text in each of its fields, where the store takes it."""
    return Article(
        f"{number}{text}",
        f"{text} {number}",
        f"{NAMES[number]} sells {text} at the fair of Tolm. Nobody else sells anything like it there.",
        f"{text} {number}",
        f"javascript:{RUN}" if number % 2 else f"https://fair.example/{text}",
        text,
        origin=text,
        extra=(("kind", text), (text, "kind")),
    )


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """An index of the hostile articles, which no reader has cleaned: the page must not rely on that."""
    config = Config(index=tmp_path_factory.mktemp("hostile") / "index")
    embedder = load_embedder(config.embedding_model)
    rows = []
    for number, text in enumerate(HOSTILE):
        found = article(number, text)
        passages = split(found)
        vectors = embedder.embed_texts([p.indexed_text for p in passages], [p.indexed_sentences for p in passages])
        rows.append(StoredArticle(found, passages, *vectors))
    with open_for_writing(config.index, config.embedding_model, SPLITTER) as writer:
        writer.put(rows)
    return config


@pytest.fixture
def page(config: Config, tab: Page) -> Iterator[Page]:  # noqa: F811
    """The chat over them, to which others can be added."""
    chain = Chain.from_config(config)
    stores = Stores(uploads=Uploads(config, chain.index, Model(config.embedding_model, chain.retriever.embedder)))
    with served(build_app(chain, Openers(chain), stores=stores), Service(megabytes=1)) as url:
        yield opened(tab, url)
        expect_harmless(tab)
        tab.close()


def expect_harmless(page: Page) -> None:
    """Nothing ran, and nothing is there that might; requests and errors are seen to by `tab`."""
    assert page.evaluate("window.hacked") is None
    assert (
        page.evaluate("""() => [...document.querySelectorAll("#pq-body *")].filter(e =>
      /^(script|iframe|object|embed|base|meta|marquee|math)$/i.test(e.tagName)
      || [...e.attributes].some(a => /^on/i.test(a.name) || /javascript:|203\\.0\\.113/i.test(a.value)
        && !/^(title|aria-label|value)$/.test(a.name))).map(e => e.outerHTML.slice(0, 200))""")
        == []
    )


def test_what_would_do_harm_is_seen(page: Page) -> None:
    assert len(set(HOSTILE)) >= 40
    for harm in ("<p onclick=x>", "<iframe>", "<a href='javascript:x'>", "<p title='javascript:x'><object></object>"):
        page.evaluate("harm => { document.getElementById('pq-chat').innerHTML = harm; }", harm)
        with pytest.raises(AssertionError):
            expect_harmless(page)
    page.evaluate("document.getElementById('pq-chat').innerHTML = ''")


def test_answers_sources_and_articles(page: Page) -> None:
    for number in range(0, len(HOSTILE), 2):
        ask(page, f"What does {NAMES[number]} sell at the fair of Tolm?")
        expect(page.locator(".pq-text").last).to_contain_text(f"{NAMES[number]} sells")
        expect_harmless(page)
    page.locator(".pq-marker").last.click()
    expect(page.locator("#pq-span")).to_be_visible()


def test_questions_are_shown_as_they_were_asked(page: Page) -> None:
    for text in HOSTILE[::3]:
        ask(page, f"{text} at the fair?")
    expect_harmless(page)
    page.get_by_role("button", name="History").click()
    expect(page.locator(".pq-history [name=reopen]")).to_have_count(1)
    page.get_by_role("button", name="Rename").click()
    page.locator("input.pq-rename").fill(HOSTILE[9])
    page.locator("input.pq-rename").press("Enter")
    expect(page.locator(".pq-history [name=reopen]")).to_have_text([HOSTILE[9]])
    page.get_by_label("Find conversations").fill("fair")
    expect(page.locator(".pq-history li")).to_have_count(1)
    expect_harmless(page)
    page.reload()
    expect(page.locator(".pq-question")).not_to_have_count(0)


def test_the_table_the_reader_and_what_is_related(page: Page) -> None:
    page.get_by_role("button", name="Articles", exact=True).click()
    titles = page.locator(".pq-table tbody th button")
    expect(titles).to_have_count(len(HOSTILE))
    for number in range(len(HOSTILE)):
        titles.nth(number).click()
        expect(page.locator(".pq-reading .pq-related li")).not_to_have_count(0)
        expect_harmless(page)
    for box in page.locator(".pq-table input").all():
        box.check()
    page.get_by_role("button", name="Remove selected").click()
    expect(page.locator(".pq-confirm li")).not_to_have_count(0)
    page.get_by_label("Find articles").fill(HOSTILE[0])
    expect(titles).not_to_have_count(len(HOSTILE))
    page.get_by_role("button", name="Ask this article only").click()
    expect(page.locator("#pq-aim button")).to_be_visible()


def test_pictures_filters_and_what_is_added(page: Page) -> None:
    page.get_by_role("button", name="Overview").click()
    expect(page.locator(".pq-map .pq-do")).to_have_count(len(HOSTILE))
    expect_harmless(page)
    page.locator(".pq-shares .pq-do").first.click()
    expect(page.locator(".pq-table tbody tr")).not_to_have_count(0)
    page.get_by_role("button", name="Add articles").click()
    names = [f"{text[:80]}.json" for text in HOSTILE]
    files = [{"name": name, "mimeType": "text/plain", "buffer": b'{"broken'} for name in names]
    page.locator("#pq-files input[type=file]").set_input_files(files)  # type: ignore[arg-type]
    expect(page.locator("#pq-progress li")).not_to_have_count(0)
    page.get_by_label("Text of an article").fill(f"The mill of Tarn was sold on Friday. {HOSTILE[0]}")
    page.locator("#pq-add").get_by_label("Title").fill(HOSTILE[11])
    page.locator("#pq-add").get_by_label("Source").fill(HOSTILE[14])
    page.get_by_role("button", name="Add this text").click()
    expect(page.locator("#pq-progress")).to_contain_text("1 added")
    page.get_by_label("Addresses of pages or feeds").fill(HOSTILE[35])
    page.get_by_role("button", name="Fetch").click()
    expect(page.locator("#pq-progress")).to_contain_text("is no address")
    expect_harmless(page)
    page.get_by_role("button", name="Chat", exact=True).click()
    page.locator("#pq-filters > button").click()
    page.get_by_label("From").click()
    expect(page.get_by_role("option")).not_to_have_count(0)


def test_what_a_model_writes(config: Config, tab: Page) -> None:  # noqa: F811
    def reply(prompt: str) -> Iterator[str]:
        [mark, *_] = re.findall(r"^mark: \[(\w+)\]$", prompt, re.MULTILINE)
        for text in HOSTILE:
            yield f"A stall sells {text} there [{mark}]. "

    plain = Chain.from_config(config)
    with scripted(reply) as server:
        chain = plain.with_llm(replace(config, llm=f"<img src=x onerror={RUN}>", llm_base_url=server.url))
        with served(build_app(chain)) as url:
            page = opened(tab, url)
            ask(page, f"What does {NAMES[3]} sell at the fair of Tolm?")
            page.get_by_role("button", name="Settings").click()
            page.get_by_role("button", name="Try the language model").click()
            expect(page.locator("#pq-tried")).not_to_be_empty()
            expect_harmless(page)
            page.close()


def test_conversations_that_were_forged(page: Page, tmp_path: Path) -> None:
    forged = {
        "id": "x" * 22,
        "title": HOSTILE[9],
        "updated": HOSTILE[9],
        "started": HOSTILE[9],
        "questions": HOSTILE[9],
    }
    page.evaluate("text => localStorage.setItem('pullquote.forged', text)", json.dumps(forged) + "\n" + HOSTILE[0])
    page.evaluate("text => localStorage.setItem('pullquote.broken', text)", HOSTILE[0])
    page.get_by_role("button", name="History").click()
    page.wait_for_timeout(500)
    expect_harmless(page)
    page.evaluate("location.hash = '#conversation=<img src=x onerror=window.hacked=1>'")
    page.wait_for_timeout(500)
