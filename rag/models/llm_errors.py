"""The errors of requests to a language model, each with what to do.

None of them repeats the server's own words, which may contain the key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from rag.errors import ModelError


def invalid_reply(name: str) -> ModelError:
    """The error for a response that is no reply of a language model."""
    hint = "ask again, or correct its URL, which mostly ends in /v1"
    return ModelError(f"the server of {name!r} sent an invalid reply; {hint}")


def incomplete_reply(name: str) -> ModelError:
    """The error for a reply that ends in the middle."""
    return ModelError(f"the reply of {name!r} broke off in the middle; ask again, and check that its server still runs")


def endless_reply(name: str) -> ModelError:
    """The error for a reply that is longer than any that is wanted."""
    return ModelError(f"the reply of {name!r} does not come to an end; ask again")


@contextmanager
def llm_errors(name: str) -> Iterator[None]:
    """Turn a failed request into a ModelError, without the server's own words: they may repeat the key."""
    import httpx
    from ollama import ResponseError
    from openai import APIConnectionError, APIError, APITimeoutError
    from pydantic import ValidationError

    try:
        yield
    except (APITimeoutError, httpx.TimeoutException):
        raise ModelError(f"the language model {name!r} took too long; ask again, or raise llm_seconds") from None
    except (APIConnectionError, httpx.ConnectError, ConnectionError) as error:
        if isinstance(error.__cause__, ModelError):  # raised while the client read the response
            raise error.__cause__ from None
        raise ModelError("no language model answers there; start its server, or correct its URL") from None
    except (httpx.HTTPError, APIError, ResponseError) as error:
        status = getattr(error, "status_code", -1)
        raise (ModelError(_refusal(repr(name), status)) if status > 0 else incomplete_reply(name)) from None
    except (httpx.InvalidURL, json.JSONDecodeError, ValidationError):
        raise invalid_reply(name) from None


def _refusal(name: str, status: int) -> str:
    if 300 <= status < 400:
        hint = "nothing was sent there; give that server's own address (--llm-url) if it is the right one"
        return f"the server of {name} redirects to another server (HTTP {status}); {hint}"
    if status in (401, 403):
        return f"the key for {name} is not accepted (HTTP {status}); put the right one into PULLQUOTE_API_KEY"
    if status == 404:
        return f"there is no model {name} (HTTP 404); correct its name, load it, or correct the URL (mostly .../v1)"
    if status == 429:
        return f"the server of {name} is overloaded (HTTP 429); wait a while, and ask again"
    if status >= 500:
        return f"the server of {name} failed (HTTP {status}); ask again, and read its log if it fails again"
    hint = "correct its name, its URL or the key in PULLQUOTE_API_KEY, or lower llm_context"
    return f"the server refused the request to {name} (HTTP {status}); {hint}"
