"""What other programs can do, as they meet it: over HTTP, with Gradio's client, on a real index."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio_client
import pytest

from ingest import ingest
from ingest.updater import Model
from rag.chain import Chain
from rag.config import Config
from rag.errors import QuestionError, ReadError
from tests.conftest import SAMPLE
from tests.support.parrot import Parrot
from tests.ui.server.test_app import Service, _no_open_loops, served  # noqa: F401
from ui.page.app import build_app
from ui.page.view import Stores
from ui.services.api import Endpoints, checked
from ui.services.article_list import ArticleList
from ui.services.uploads import Uploads

NEWT = "The newt of Elm Street lives in the pond behind the town hall, said the warden on Monday."


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("", ()),
        ("the cup", ("The Cup",)),
        ("The Saucer, daily", ("The Saucer, daily",)),
        (["The Saucer, daily", "The Cup"], ("The Saucer, daily", "The Cup")),
        ("The Cup, the cup,", ("The Cup",)),
    ],
)
def test_a_program_names_sources_as_it_likes(source: str | list[str], found: tuple[str, ...]) -> None:
    parrot = Parrot()
    Endpoints(parrot, ArticleList(parrot.index)).ask("A?", source=source)  # type: ignore[arg-type]
    assert parrot.asked[-1][2]["filters"].sources == found


def test_values_of_other_types_are_told_by_name() -> None:
    parrot: Any = Parrot()
    ask = checked(Endpoints(parrot, ArticleList(parrot.index)).ask)
    with pytest.raises(QuestionError, match=r"^question is not as it should be \(.*string\)"):
        ask({"path": "/etc/passwd"})
    with pytest.raises(QuestionError, match=r"^source is not as it should be"):
        ask("A?", source=3)
    assert ask("A?")["text"] == "Tea is hot. [1] Ice is cold. [2]"


def test_nothing_can_be_added_without_an_intake() -> None:
    parrot: Any = Parrot()
    with pytest.raises(ReadError, match="run pullquote ingest on the server"):
        Endpoints(parrot, ArticleList(parrot.index)).ingest(text=NEWT)


def test_no_file_is_read_unless_something_checks_its_path(tmp_path: Path) -> None:
    parrot: Any = Parrot()
    uploads = Uploads(Config(index=tmp_path / "index"), parrot.index, Model("none"))
    with pytest.raises(ReadError, match="files cannot be added here"):
        Endpoints(parrot, ArticleList(parrot.index), uploads).ingest(files=[{"path": "/etc/passwd"}])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A page over the sample articles, to which articles can be added, and the folder in which uploads come to lie."""
    folder = tmp_path_factory.mktemp("kept")
    config = Config(index=folder / "index")
    ingest([SAMPLE], config)
    chain = Chain.from_config(config)
    uploads = Uploads(config, chain.index, Model(config.embedding_model, chain.retriever.embedder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        with served(build_app(chain, stores=Stores(uploads=uploads)), Service(megabytes=1)) as url:
            yield url, folder


@pytest.fixture(scope="module")
def client(kept: tuple[str, Path]) -> gradio_client.Client:
    """Gradio's client, as another program has it."""
    return client_of(kept[0])


def client_of(url: str, **more: Any) -> gradio_client.Client:
    return gradio_client.Client(url, verbose=False, analytics_enabled=False, httpx_kwargs={"trust_env": False}, **more)


@pytest.mark.slow
def test_passages_are_searched(client: gradio_client.Client) -> None:
    found = client.predict("What did Iraq tell the Security Council?", limit=2, api_name="/search")
    assert len(found["hits"]) == 2
    first = found["hits"][0]
    assert first["article_id"] == "iraq-letter-security-council"
    assert first["score"] > found["hits"][1]["score"]
    assert "letter" in first["text"]
    assert first["source"] == "Harbour Wire"
    assert first["published"] == "2024-11-24"
    assert first["url"].startswith("https://harbour-wire.example/")
    one = client.predict("Iraq", source="harbour wire", published_after="2024-11-20", api_name="/search")
    assert {hit["source"] for hit in one["hits"]} == {"Harbour Wire"}
    with pytest.raises(Exception, match="write it as YYYY-MM-DD"):
        client.predict("Iraq", published_after="May", api_name="/search")


@pytest.mark.slow
def test_articles_are_listed_a_page_at_a_time(client: gradio_client.Client) -> None:
    everything = client.predict(limit=1000, api_name="/articles")
    assert everything["total"] == len(everything["articles"]) > 10
    pages = [client.predict(limit=4, offset=at, api_name="/articles") for at in range(0, everything["total"], 4)]
    assert [article for page in pages for article in page["articles"]] == everything["articles"]
    bridge = client.predict("harbour wire", api_name="/articles")
    assert {article["source"] for article in bridge["articles"]} == {"Harbour Wire"}
    assert client.predict("no such words", api_name="/articles") == {"total": 0, "articles": []}
    assert client.predict(limit=-1, offset=-5, api_name="/articles")["articles"] == []


@pytest.mark.slow
def test_articles_are_added_and_asked(client: gradio_client.Client, tmp_path: Path) -> None:
    file = tmp_path / "newt.txt"
    file.write_text(NEWT, "utf-8")
    told = client.predict(files=[gradio_client.handle_file(str(file))], api_name="/ingest")
    assert (told["added"], told["outcomes"]) == (1, [{"name": "newt.txt", "told": "1 article", "failed": False}])
    text = "A pelican came to the pier of Kelmora on Monday. It ate all the herring."
    told = client.predict(text=text, title="Pelican", date="2024-03-05", api_name="/ingest")
    assert (told["added"], [outcome["name"] for outcome in told["outcomes"]]) == (1, ["Pelican"])
    [pelican] = client.predict("pelican", api_name="/articles")["articles"]
    assert pelican["published"] == "2024-03-05"
    answer = client.predict("Where does the newt of Elm Street live?", api_name="/ask")
    assert NEWT in [citation["quote"] for citation in answer["citations"]]
    for wrong, fix in (
        ({}, "give files, urls or a text"),
        ({"urls": ["https://x.example/"], "text": "Tea."}, "one of these at a time"),
        ({"urls": ["ftp"]}, "begins with https"),
        ({"text": 1}, "text is"),
    ):
        with pytest.raises(Exception, match=fix):
            client.predict(api_name="/ingest", **wrong)


@pytest.mark.slow
def test_no_event_reads_a_file_that_was_not_uploaded(kept: tuple[str, Path], client: gradio_client.Client) -> None:
    url, folder = kept
    secret = folder / "secret-diary.txt"
    secret.write_text("My secret is that I like newts more than herons.", "utf-8")
    named = {"path": str(secret), "orig_name": "diary.txt", "meta": {"_type": "gradio.FileData"}}
    config = json.loads(get(f"{url}config"))
    for event in config["dependencies"]:
        data = [[named] if component_of(config, number) == "file" else named for number in event["inputs"]]
        if data:
            body = {"data": data, "fn_index": event["id"], "session_hash": "s"}
            get(f"{url}gradio_api/queue/join", json.dumps(body).encode())
    get(f"{url}gradio_api/queue/data?session_hash=s")  # which ends when all of them have
    for api in ("ask", "search", "articles", "ingest"):
        called = json.loads(get(f"{url}gradio_api/call/{api}", json.dumps({"data": [[named]]}).encode()))
        assert "event: error" in get(f"{url}gradio_api/call/{api}/{called['event_id']}")
    assert not [found for found in folder.rglob("*") if found.name in {"diary.txt", secret.name} and found != secret]
    assert client.predict("secret-diary", api_name="/articles")["total"] == 0


def component_of(config: dict[str, Any], number: int) -> str:
    return next((component["type"] for component in config["components"] if component["id"] == number), "")


def get(url: str, body: bytes | None = None) -> str:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"} if body else {})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
        return str(response.read().decode())
