"""A server that speaks OpenAI's protocol over HTTP and says what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = str | int | bytes
"""What the model says, the HTTP status that the server refuses with, or what it sends instead of a completion."""


@dataclass
class Scripted:
    """The server's address, and what was asked of it."""

    url: str = ""
    prompts: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


@contextmanager
def scripted(reply: Callable[[str], Reply]) -> Iterator[Scripted]:
    """A server on a free port that answers each prompt (all messages joined) with what `reply` makes of it."""
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = "\n".join(message["content"] for message in asked["messages"])
            script.prompts.append(prompt)
            script.keys.append(self.headers.get("Authorization", ""))
            said = reply(prompt)
            if isinstance(said, bytes):
                self._send(200, said)
            elif isinstance(said, int):
                refusal = {"error": {"message": f"refused: {self.headers.get('Authorization')}"}}
                self._send(said, json.dumps(refusal).encode())
            else:
                self._send(200, json.dumps(completion(asked["model"], said)).encode())

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its base class calls it so
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
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
