"""A reverse proxy in a process of its own, as a web server is that speaks to the world for a page.

It prints where it is, reads where to from a line, and takes PREFIX off. With `name` as its argument it passes on the
name that it was asked by; otherwise it asks under the other server's, as nginx does unless told to keep it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

PREFIX = "/ask"
HOPS = {"connection", "transfer-encoding"}


@contextmanager
def proxied(*, keeps_name: bool) -> Iterator[tuple[str, Callable[[str], object]]]:
    """Its address, prefix and all, and what to tell where it is to pass things on."""
    command = [sys.executable, __file__, *(["name"] if keeps_name else [])]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin
        assert process.stdout
        stdin = process.stdin
        try:
            yield process.stdout.readline().strip() + PREFIX, lambda url: print(url, file=stdin, flush=True)
        finally:
            process.kill()


def main() -> None:
    """Serve until it is killed."""
    from ui.server.app import listen

    # A client would keep one person's cookies for the next.
    other = httpx.AsyncHTTPTransport(trust_env=False)
    own = HOPS if "name" in sys.argv else HOPS | {"host"}
    with listen("127.0.0.1", 0) as listener:
        sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        to = sys.stdin.readline().strip().rstrip("/")

        async def passed_on(request: Request) -> Response:
            url = to + request.url.path.removeprefix(PREFIX)
            headers = [(name, value) for name, value in request.headers.items() if name not in own]
            body = await request.body()
            asked = httpx.Request(request.method, url, params=request.query_params, headers=headers, content=body)
            answer = await other.handle_async_request(asked)
            told = StreamingResponse(answer.aiter_raw(), answer.status_code)
            told.raw_headers = [
                (name.encode(), value.encode())
                for name, value in answer.headers.multi_items()
                if name.lower() not in HOPS
            ]
            return told

        routes = [Route(PREFIX + "/{path:path}", passed_on, methods=["GET", "HEAD", "POST"])]
        uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error")).run(sockets=[listener])


if __name__ == "__main__":
    main()
