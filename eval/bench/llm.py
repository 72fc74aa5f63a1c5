"""Measures what the chain adds to a language model's stream, beside the bare stream of the same server.

The server is our own, in its own process: it sends the passages' sentences back, one token at a time, as fast as they
are read. Machines differ and are shared: compare the milliseconds added per token.
"""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection

from rag.chain import Chain
from rag.config import Config

RUNS = 3
"""Number of runs; the fastest counts, because other load only slows a run down."""
PAUSE = 0.3
"""Seconds between the first and the second token: proves that the first is passed on at once."""
_PASSAGE = re.compile(r"<passage>\nmark: \[(\w+)\].*?\n\n(.*?)\n</passage>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class StreamCost:
    """Seconds for all tokens after the first, and until the first: `bare` directly, `told` through the chain."""

    tokens: int
    bare: float
    told: float
    bare_first: float
    told_first: float

    @property
    def added(self) -> float:
        """Milliseconds per token that the chain adds."""
        return (self.told - self.bare) / self.tokens * 1000


def bench_llm(chain: Chain, question: str, tokens: int) -> StreamCost:
    """Time an answer of so many tokens, read from the server directly and through the chain."""
    with _serving(tokens) as url:
        config = Config(index=chain.index.folder, llm="bench", llm_base_url=url)
        writing = replace(chain.with_llm(config), min_confidence=0.0)
        chained = min(_time_chain(writing, question) for _ in range(RUNS))
        bare = min(_time_bare(url, question, chain) for _ in range(RUNS))
    return StreamCost(tokens, bare[0], chained[0], bare[1], chained[1])


def markdown(cost: StreamCost) -> str:
    """The figures as a Markdown table."""
    return "\n".join(
        [
            f"| a stream of {cost.tokens:,} tokens | bare | through the chain |",
            "|---|---|---|",
            f"| all tokens after the first | {cost.bare:.2f} s | {cost.told:.2f} s, {cost.added:.2f} ms/token more |",
            f"| from the request to the first token | {cost.bare_first:.3f} s | {cost.told_first:.3f} s |",
        ]
    )


def _time_chain(chain: Chain, question: str) -> tuple[float, float]:
    """Seconds of the chain's stream after the first token, and from its request to the first token."""
    asked = first = 0.0
    for answer in chain.stream(question):
        if answer.doing:
            asked = asked or time.perf_counter()
        elif not first:
            first = time.perf_counter()
    return time.perf_counter() - first - PAUSE, first - asked


def _time_bare(url: str, question: str, chain: Chain) -> tuple[float, float]:
    """The same of a stream read by the standard library, which only parses its JSON."""
    passages = "\n\n".join(
        f"<passage>\nmark: [bb{n}]\n\n{hit.passage.text.strip()}\n</passage>"
        for n, hit in enumerate(chain.retrieve(question), 1)
    )
    body = {"model": "bench", "stream": True, "messages": [{"role": "user", "content": passages}]}
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode())  # noqa: S310 - our own
    asked, first = time.perf_counter(), 0.0
    with urllib.request.urlopen(request) as reply:  # noqa: S310
        for line in reply:
            if line.startswith(b"data: {"):
                json.loads(line[6:])
                first = first or time.perf_counter()
    return time.perf_counter() - first - PAUSE, first - asked


@contextmanager
def _serving(tokens: int) -> Iterator[str]:
    here, there = get_context("spawn").Pipe()
    server = get_context("spawn").Process(target=_serve, args=(there, tokens), daemon=True)
    server.start()
    try:
        yield here.recv()
    finally:
        server.terminate()
        server.join()


def _serve(connection: Connection, tokens: int) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for number, token in enumerate(islice(_reply(asked["messages"][-1]["content"]), tokens)):
                if number == 1:
                    time.sleep(PAUSE)
                self._send(token, None)
            self._send("", "stop")
            self.wfile.write(b"data: [DONE]\n\n")

        def do_GET(self) -> None:
            self.send_error(404)

        def _send(self, token: str, finish: str | None) -> None:
            choice = {"index": 0, "delta": {"content": token}, "finish_reason": finish}
            event = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": [choice]}
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    connection.send(f"http://127.0.0.1:{server.server_port}/v1")
    server.serve_forever()


def _reply(prompt: str) -> Iterator[str]:
    """Tokens of the passages' sentences with their markers, repeated without end, no two alike."""
    passages: Sequence[tuple[str, str]] = _PASSAGE.findall(prompt)
    for turn in count():
        for mark, text in passages:
            for sentence in re.findall(r"[^.!?]+[.!?]", text):
                words = " ".join(sentence.split())
                yield from re.findall(r"\S+\s?", f"{words[:-1]}{f' ({turn})' if turn else ''} [{mark}]. ")
        if not passages:
            return
