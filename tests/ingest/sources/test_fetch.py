"""Fetching, from a real server on loopback; nothing here reaches any further."""

from __future__ import annotations

import gzip
import shutil
import socket
import ssl
import subprocess
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.content.archives import GUNZIP_STEP, gunzip
from ingest.content.types import Limits
from ingest.sources.fetch import Fetcher, Page
from ingest.sources.network import is_private
from rag.errors import ReadError
from tests.support.web_server import Answer, serving

HTML = b"<p>The pier is closed.</p>"
LIMITS = Limits(seconds=20, bytes=100_000)


def fetch(url: str, limits: Limits = LIMITS, private: bool = True, **conditions: str) -> Page:
    with Fetcher(limits, private) as fetcher:
        return fetcher.fetch(url, **conditions)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What names lead to, instead of a name server; numeric addresses are their own."""
    known: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def lookup(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        if host in known:
            return [found for address in known[host] for found in real(address, port, *args, **kwargs)]
        try:
            return real(host, port, *args, **{**kwargs, "flags": socket.AI_NUMERICHOST})
        except socket.gaierror:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return known


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were connected to; none of them answers."""
    made: list[str] = []

    def refused(address: tuple[str, int], *_: Any, **__: Any) -> None:
        made.append(address[0])
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", refused)
    return made


def test_a_page_and_its_headers() -> None:
    headers = {
        "Content-Type": 'Text/HTML; Charset="ISO-8859-1"',
        "ETag": '"a1"',
        "Last-Modified": "Tue, 05 Mar 2024 10:00:00 GMT",
    }
    with serving({"/pier?n=1": (200, headers, HTML)}) as site:
        page = fetch(f" {site.url}/pier?n=1#top ")
    assert page == Page(
        url=f"{site.url}/pier?n=1",
        status=200,
        data=HTML,
        media_type="text/html",
        charset="iso-8859-1",
        etag='"a1"',
        modified="Tue, 05 Mar 2024 10:00:00 GMT",
    )


def test_requests_name_the_program_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    cookies: Answer = (302, {"Set-Cookie": "track=1; Path=/", "Location": "/there"}, b"")
    with serving({"/": cookies, "/there": (200, {}, HTML)}) as site, Fetcher(LIMITS, private=True) as fetcher:
        assert fetcher.fetch(site.url).data == HTML
        assert fetcher.fetch(f"{site.url}/there").data == HTML
    for asked in site.requests:
        assert asked.headers["host"] == f"127.0.0.1:{site.port}"
        assert asked.headers["user-agent"].startswith("Pullquote/")
        assert not {"cookie", "referer", "authorization", "if-none-match"} & set(asked.headers)


def test_an_unchanged_page_is_not_sent_again() -> None:
    def route(request: BaseHTTPRequestHandler) -> None:
        known = request.headers["If-None-Match"] == '"a1"' and request.headers["If-Modified-Since"] == "yesterday"
        request.send_response(304 if known else 500)
        request.send_header("ETag", '"a1"')
        request.end_headers()

    with serving({"/moved": (301, {"Location": "/page"}, b""), "/page": route}) as site:
        page = fetch(f"{site.url}/moved", etag='"a1"', modified="yesterday")
        assert (page.status, page.data, page.etag, page.url) == (304, b"", '"a1"', f"{site.url}/page")


def test_conditions_that_cannot_be_sent_are_left_out() -> None:
    headers = {"ETag": '"' + "a" * 5_000 + '"', "Content-Type": "nonsense", "Last-Modified": "caf\xe9"}
    with serving({"/": (200, headers, HTML)}) as site:
        page = fetch(site.url, etag='"a"\r\nX-Evil: 1', modified="b" * 5_000)
    assert (page.etag, page.modified, page.media_type, page.charset) == ("", "", "", "")
    assert not {"if-none-match", "if-modified-since", "x-evil"} & set(site.requests[0].headers)


def test_not_modified_without_a_condition_is_an_error() -> None:
    with serving({"/": (304, {}, b"")}) as site, pytest.raises(ReadError, match=r"is not a page \(HTTP 304\)"):
        fetch(site.url)


def test_the_body_of_a_redirect_is_not_read() -> None:
    start = b"HTTP/1.1 302 Found\r\nLocation: /caf\xc3\xa9\r\nContent-Encoding: gzip\r\n\r\n"
    with serving({"/": endless(start, b"x" * 1_000), "/caf%C3%A9": (200, {}, HTML)}) as site:
        assert fetch(site.url).data == HTML


def test_redirects_are_followed_but_not_forever() -> None:
    chain: dict[str, Answer] = {f"/{n}": (302, {"Location": f"{n + 1}"}, b"moved") for n in range(12)}
    with serving({**chain, "/12": (200, {}, HTML)}) as site:
        assert fetch(f"{site.url}/2").url == f"{site.url}/12"
        with pytest.raises(ReadError, match="more than 10 times"):
            fetch(f"{site.url}/1")


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("file:///etc/passwd", "https://"),
        ("gopher://pier.example/", "https://"),
        ("http://ada:secret@pier.example/", "user name"),
        ("http://[::1", "invalid address"),
        ("http://xn--a/", "invalid address"),
        ("http://0x7f.1/", "unusual notation"),
        ("http://pier.example/" + "a" * 9_000, "too long"),
    ],
)
def test_a_redirect_is_checked_as_the_address_itself(place: str, reason: str) -> None:
    with (
        serving({"/": (302, {"Location": place}, b"")}) as site,
        pytest.raises(ReadError, match=reason) as error,
    ):
        fetch(site.url)
    assert "secret" not in str(error.value)


def test_a_redirect_to_a_private_address_is_refused(
    names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first name is let through as if it were public; what it redirects to is not.
    names["pier.example"], names["inside.example"] = ["127.0.0.1"], ["127.0.0.2"]
    monkeypatch.setattr("ingest.sources.network.is_private", lambda address: address != "127.0.0.1")
    routes: dict[str, Answer] = {}
    with serving(routes) as site:
        routes["/"] = (302, {"Location": f"http://inside.example:{site.port}/"}, b"")
        with pytest.raises(ReadError) as error:
            fetch(f"http://pier.example:{site.port}/", private=False)
    assert (
        str(error.value)
        == "leads to a private address (127.0.0.2); set PULLQUOTE_ALLOW_PRIVATE_ADDRESSES=true to fetch it"
    )
    assert site.paths == ["/"]


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1",
            "localhost",
            "10.1.2.3",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "127。0。0。1",
        ),
        *(
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
        ),
    ],
)
def test_private_addresses_are_refused_before_any_connection(host: str, connections: list[str]) -> None:
    with pytest.raises(ReadError, match="leads to a private address"):
        fetch(f"http://{host}:8000/", private=False)
    assert connections == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "127.0.0.01", "0x"])
def test_odd_notations_of_addresses_are_refused(host: str, connections: list[str]) -> None:
    for private in (True, False):
        with pytest.raises(ReadError, match=r"write it as four plain numbers|is not a valid address"):
            fetch(f"http://{host}/", private=private)
    assert connections == []


def test_a_name_with_one_private_address_is_refused(names: dict[str, list[str]], connections: list[str]) -> None:
    names["pier.example"] = ["8.8.8.8", "192.168.0.1"]
    with pytest.raises(ReadError, match=r"private address \(192\.168\.0\.1\)"):
        fetch("http://pier.example/", private=False)
    assert connections == []


def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch: Any, connections: list[str]) -> None:
    answers = iter(["8.8.8.8", "127.0.0.1"])
    asked = []

    def rebinding(host: str, port: int, **_: Any) -> Any:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with pytest.raises(ReadError, match="cannot be reached"):
        fetch("http://pier.example/", private=False)
    assert (asked, connections) == (["pier.example"], ["8.8.8.8"])


def test_another_address_is_tried_where_one_does_not_answer(names: dict[str, list[str]]) -> None:
    names["pier.example"] = ["127.0.0.2", "127.0.0.1"]
    with serving({"/": (200, {}, HTML)}) as site:
        assert fetch(f"http://pier.example:{site.port}/").data == HTML
    assert site.requests[0].headers["host"] == f"pier.example:{site.port}"


def test_an_unknown_name_and_a_closed_port(names: dict[str, list[str]]) -> None:
    with pytest.raises(ReadError, match=r"cannot be found \(no address for pier\.example\)"):
        fetch("http://pier.example/")
    with serving({}) as site:
        pass
    with pytest.raises(ReadError, match=r"cannot be reached \(.*refused.*\)"):
        fetch(site.url)


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("8.8.8.8", False),
        ("2606:4700::1111", False),
        ("::ffff:8.8.8.8", False),
        ("64:ff9b::808:808", False),
        ("2002:808:808::1", False),
        ("127.8.9.1", True),
        ("172.31.0.1", True),
        ("192.0.0.9", True),
        ("198.18.0.1", True),
        ("203.0.113.5", True),
        ("240.0.0.1", True),
        ("255.255.255.255", True),
        ("::", True),
        ("::127.0.0.1", True),
        ("::ffff:10.0.0.1", True),
        ("64:ff9b::a00:1", True),
        ("64:ff9b:1::808:808", True),
        ("2002:a00:1::", True),
        ("2001:0:808:808::1", True),
        ("2001:db8::1", True),
        ("3fff::1", True),
        ("fc00::1", True),
        ("fe80::1%eth0", True),
        ("fec0::1", True),
        ("ff02::1", True),
    ],
)
def test_which_addresses_are_private(address: str, private: bool) -> None:
    assert is_private(address) is private


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "is not a web address"),
        ("pier.example/a", "https://"),
        ("ftp://pier.example/a", "https://"),
        ("file:///etc/passwd", "https://"),
        ("http://", "https://"),
        ("https://ada:secret@pier.example/", "user name or password"),
        ("http://pier.example/\x00a", "control characters"),
        ("http://pier.example/a\r\nHost: b", "control characters"),
        ("http://pier.example/" + "a" * 9_000, "too long"),
        ("http://pier.example:99999999/", "is not a web address"),
        ("http://" + "a" * 70 + ".example/", "cannot be found|is not a valid address"),
    ],
)
def test_invalid_addresses_are_refused(url: str, reason: str, names: dict[str, list[str]]) -> None:
    with pytest.raises(ReadError, match=reason) as error:
        fetch(url)
    assert "secret" not in str(error.value)
    assert len(str(error.value)) < 250


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, "does not exist (HTTP 404); check the address"),
        (410, "does not exist (HTTP 410); check the address"),
        (403, "is not public (HTTP 403); save the page and ingest that"),
        (401, "is not public (HTTP 401); save the page and ingest that"),
        (429, "is not available now (HTTP 429); try again later"),
        (500, "is not available now (HTTP 500); try again later"),
        (503, "is not available now (HTTP 503); try again later"),
        (204, "is not a page (HTTP 204); check the address"),
        (302, "is not a page (HTTP 302); check the address"),
        (418, "is not a page (HTTP 418); check the address"),
    ],
)
def test_refusals_by_their_status(status: int, reason: str) -> None:
    with (
        serving({"/": (status, {"Retry-After": "3600"}, b"" if status == 204 else b"\x1b[31mevil")}) as site,
        pytest.raises(ReadError) as error,
    ):
        fetch(site.url)
    assert str(error.value) == reason
    assert len(site.requests) == 1


@pytest.mark.parametrize("busy", [1, 2])
def test_a_server_that_is_busy_for_a_moment_is_asked_once_more(busy: int) -> None:
    def route(request: BaseHTTPRequestHandler) -> None:
        request.send_response(503 if len(site.requests) <= busy else 200)
        request.send_header("Retry-After", "0")
        request.send_header("Content-Length", "0")
        request.end_headers()

    with serving({"/": route}) as site:
        if busy == 1:
            assert fetch(site.url).status == 200
        else:
            with pytest.raises(ReadError, match="HTTP 503"):
                fetch(site.url)
    assert len(site.requests) == 2


def test_a_page_that_says_it_is_too_large_is_not_read() -> None:
    with (
        serving({"/": (200, {"Content-Length": "999999999999"}, b"")}) as site,
        pytest.raises(ReadError, match="is larger than 100,000 bytes; raise source_megabytes"),
    ):
        fetch(site.url)


def endless(start: bytes, more: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """Writes until the client has gone, which ends the handler with an error."""

    def route(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(start)
        while True:
            request.wfile.write(more)

    return route


def test_an_endless_page_is_cut() -> None:
    with (
        serving({"/": endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1_000)}) as site,
        pytest.raises(ReadError, match="larger than"),
    ):
        fetch(site.url)


@pytest.mark.parametrize("size", [LIMITS.bytes, LIMITS.bytes + 1])
def test_the_limit_holds_for_what_is_unpacked(size: int) -> None:
    packed = gzip.compress(bytes(size))
    assert len(packed) < 1_000
    with serving({"/": (200, {"Content-Encoding": "gzip"}, packed)}) as site:
        if size == LIMITS.bytes:
            assert fetch(site.url).data == bytes(size)
        else:
            with pytest.raises(ReadError, match="larger than"):
                fetch(site.url)
    assert site.requests[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("packing", "data", "reason"),
    [
        ("gzip", b"no gzip", "broken"),
        ("gzip", gzip.compress(HTML * 50, mtime=0)[:40], "cut off"),
        ("gzip, gzip", gzip.compress(gzip.compress(HTML, mtime=0), mtime=0), "not requested"),
        ("br", b"", "compressed as br, which was not requested"),
    ],
)
def test_broken_or_unrequested_compression_is_refused(packing: str, data: bytes, reason: str) -> None:
    with serving({"/": (200, {"Content-Encoding": packing}, data)}) as site, pytest.raises(ReadError, match=reason):
        fetch(site.url)


@pytest.mark.parametrize(
    "start",
    [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"],
    ids=["nothing", "headers", "body"],
)
def test_a_server_that_drips_is_left_at_the_deadline(start: bytes) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(start)
        while start:
            request.wfile.write(b"x")
            wait.wait(0.05)
        wait.wait(20)

    wait = threading.Event()
    with (
        serving({"/": drip}) as site,
        pytest.raises(ReadError, match=r"took longer than 0\.5 s; try again later, or raise source_seconds"),
    ):
        fetch(site.url, Limits(seconds=0.5))
    wait.set()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nA\x00: b\r\n\r\n",
    ],
)
def test_servers_that_do_not_speak_http(said: bytes) -> None:
    def route(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(said)

    with (
        serving({"/": route}) as site,
        pytest.raises(ReadError, match=r"sent no complete answer \(.*\); try again later"),
    ):
        fetch(site.url)


def test_connections_are_kept_for_the_next_page() -> None:
    with serving({"/": (200, {}, HTML)}) as site, Fetcher(LIMITS, private=True) as fetcher:
        assert [fetcher.fetch(site.url).data for _ in range(3)] == [HTML] * 3
    assert len({asked.port for asked in site.requests}) == 1


def test_threads_may_share_one() -> None:
    pages: dict[str, Answer] = {f"/{n}": (200, {}, b"%d" % n) for n in range(20)}
    with (
        serving(pages) as site,
        Fetcher(LIMITS, private=True) as fetcher,
        ThreadPoolExecutor(4) as pool,
    ):
        found = list(pool.map(lambda path: fetcher.fetch(site.url + path).data, pages))
    assert found == [b"%d" % n for n in range(20)]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for pier.example, which signed itself, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    made, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=pier.example"
    names = ["-addext", "subjectAltName=DNS:pier.example", "-keyout", str(key), "-out", str(made)]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    return made, key


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def test_a_self_signed_certificate_is_refused(tls: ssl.SSLContext) -> None:
    with (
        serving({"/": (200, {}, HTML)}, tls) as site,
        pytest.raises(ReadError, match=r"does not prove its identity .*certificate.*; check the address"),
    ):
        fetch(site.url)
    assert site.requests == []


def test_a_certificate_is_checked_against_the_name(
    tls: ssl.SSLContext, certificate: tuple[Path, Path], names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    monkeypatch.setattr("httpx.create_ssl_context", lambda trust_env: trusting)
    names["pier.example"] = names["other.example"] = ["127.0.0.1"]
    with serving({"/": (200, {}, HTML)}, tls) as site, Fetcher(LIMITS, private=True) as fetcher:
        assert fetcher.fetch(f"https://pier.example:{site.port}/").data == HTML
        # The same address and port, and a connection to it is open: another name must not get it.
        with pytest.raises(ReadError, match=r"does not prove its identity .*other.example"):
            fetcher.fetch(f"https://other.example:{site.port}/")
    assert [asked.headers["host"] for asked in site.requests] == [f"pier.example:{site.port}"]


def test_plain_http_where_tls_is_expected() -> None:
    with serving({}) as site, pytest.raises(ReadError, match="does not prove its identity"):
        fetch(site.url.replace("http", "https"))


@given(st.text() | st.builds("http://{}".format, st.text(alphabet="0123456789.abx:[]@/%#?\\ é。", max_size=30)))
def test_any_address_is_fetched_or_refused(url: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lambda host, port, **_: [(2, 1, 6, "", ("127.0.0.1", port))])
        with Fetcher(LIMITS) as fetcher, pytest.raises(ReadError) as error:
            fetcher.fetch(url)
    assert str(error.value).isprintable()


@given(st.lists(st.binary(max_size=200), max_size=4), st.integers(1, 50), st.integers(0, 9))
def test_members_of_gzip_are_unpacked_however_they_are_cut(members: list[bytes], step: int, padding: int) -> None:
    packed = b"".join(map(gzip.compress, members)) + bytes(padding)
    parts = [packed[i : i + step] for i in range(0, len(packed), step)]
    if members:
        assert b"".join(gunzip(parts)) == b"".join(members)


@given(st.binary())
def test_any_bytes_are_unpacked_or_an_error(data: bytes) -> None:
    for start in (b"", b"\x1f\x8b\x08", gzip.compress(b"x" * 1_000)[:-4]):
        with suppress(ReadError):
            list(gunzip([start + data]))


def test_a_bomb_is_unpacked_in_small_pieces() -> None:
    packing = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    bomb = b"".join(packing.compress(bytes(1_000_000)) for _ in range(100)) + packing.flush()
    sizes = list(map(len, gunzip([bomb])))
    assert max(sizes) <= GUNZIP_STEP
    assert sum(sizes) == 100_000_000


@pytest.mark.parametrize("host", ["xn--", "xn--a", "xn--zzzzzzzzz", "xn--a-.com", "xn--.b"])
def test_a_name_that_cannot_be_decoded(host: str) -> None:
    with Fetcher(Limits(5, 1000), private=True) as fetcher, pytest.raises(ReadError):
        fetcher.fetch(f"http://{host}/")
