"""Unexpected errors: logged for whoever runs the server, and reported to the user in one sentence."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType

from rag.errors import PullquoteError, UnexpectedError

log = logging.getLogger(__name__)


@contextmanager
def unexpected(what: str) -> Iterator[None]:
    """Log any error but a PullquoteError, and raise UnexpectedError in its place. `what` says what failed."""

    def ended(_: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if error and not isinstance(error, (PullquoteError, GeneratorExit)):
            log.error("%s", what, exc_info=error)
            raise UnexpectedError(f"{what}: something unexpected went wrong; look it up in the server's log") from error

    with ExitStack() as stack:
        stack.push(ended)
        yield
