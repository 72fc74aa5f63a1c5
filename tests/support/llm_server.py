"""A server that speaks OpenAI's protocol over HTTP, streams included, and says what a test tells it to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Refused:
    """A status with which the server refuses, for how long it asks to be left alone, or where it redirects to."""

    status: int
    retry_after: str = ""
    location: str = ""


BREAK = object()
"""Among the pieces of a stream: the connection ends here."""

Reply = str | int | bytes | Refused | Iterable[Any]
"""What the model says, the HTTP status that the server refuses with, what it sends instead of a completion, or the
pieces of a stream: text to send, seconds to wait, a dict to send as a delta, bytes to send as they are, or BREAK."""


@dataclass
class Scripted:
    """The server's address, what was asked of it, and how many streams were broken off by whoever read them."""

    url: str = ""
    prompts: list[str] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    broken_off: int = 0


class _Handler(BaseHTTPRequestHandler):
    script: Scripted
    reply: Callable[[str], Reply]
    ollama: bool
    models: list[str]

    def do_GET(self) -> None:
        if self.path == "/api/version" and self.ollama:
            self._send(200, b'{"version": "0.13.0"}')
        elif self.path == "/v1/models":
            self._send(200, json.dumps({"data": [{"id": name} for name in self.models]}).encode())
        else:
            self._send(404, b"{}")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = "\n".join(message["content"] for message in asked["messages"])
        self.script.requests.append({**asked, "path": self.path})
        self.script.prompts.append(prompt)
        self.script.keys.append(self.headers.get("Authorization", ""))
        said = type(self).reply(prompt)
        if isinstance(said, bytes):
            self._send(200, said)
        elif isinstance(said, (int, Refused)):
            self._refuse(said if isinstance(said, Refused) else Refused(said))
        elif asked.get("stream"):
            self._stream([said] if isinstance(said, str) else said)
        else:
            whole = said if isinstance(said, str) else "".join(piece for piece in said if isinstance(piece, str))
            self._send(200, json.dumps(completion(asked["model"], whole)).encode())

    def _refuse(self, refused: Refused) -> None:
        refusal = {"error": {"message": f"refused: {self.headers.get('Authorization')}"}}
        self._send(refused.status, json.dumps(refusal).encode(), refused)

    def _send(self, status: int, content: bytes, refused: Refused | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if refused and refused.retry_after:
            self.send_header("Retry-After", refused.retry_after)
        if refused and refused.location:
            self.send_header("Location", refused.location)
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, pieces: Iterable[Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            for piece in pieces:
                if piece is BREAK:
                    return
                if isinstance(piece, (int, float)):
                    self._wait(piece)
                elif isinstance(piece, bytes):
                    self.wfile.write(piece)
                else:
                    self._event(piece if isinstance(piece, dict) else {"content": piece}, "")
            self._event({}, "stop")
            if not self.ollama:
                self.wfile.write(b"data: [DONE]\n\n")
        except (BrokenPipeError, ConnectionResetError):
            self.script.broken_off += 1

    def _wait(self, seconds: float) -> None:
        """Unless the reader goes away meanwhile."""
        until = time.monotonic() + seconds
        self.connection.setblocking(False)
        try:
            while time.monotonic() < until:
                try:
                    if not self.connection.recv(1):
                        raise BrokenPipeError
                except BlockingIOError:
                    time.sleep(0.005)
        finally:
            self.connection.setblocking(True)

    def _event(self, delta: dict[str, Any], finish: str) -> None:
        if self.ollama:
            message = {"role": "assistant", "content": "", **delta}
            event = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": bool(finish)}
            self.wfile.write(json.dumps(event).encode() + b"\n")
        else:
            choice = {"index": 0, "delta": delta, "finish_reason": finish or None}
            event = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
            self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its base class calls it so
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A reader that goes away is no news."""


@contextmanager
def scripted(
    reply: Callable[[str], Reply], *, ollama: bool = False, models: Iterable[str] = (), port: int = 0
) -> Iterator[Scripted]:
    """A server on a free port that answers each prompt (all messages joined) with what `reply` makes of it.

    As Ollama's it also speaks that one's own protocol.
    """
    script = Scripted()
    own = {"script": script, "reply": staticmethod(reply), "ollama": ollama, "models": list(models)}
    with _Server(("127.0.0.1", port), type("Handler", (_Handler,), own)) as server:
        script.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield script
        finally:
            server.shutdown()
            thread.join(timeout=20)


def completion(model: str, said: str) -> dict[str, Any]:
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    }
