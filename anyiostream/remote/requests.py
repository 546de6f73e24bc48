"""Who makes a request, and the answers in JSON, refusals included."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from starlette.requests import HTTPConnection
from starlette.responses import Response

from anyiostream.remote.access import Caller
from anyiostream.remote.refusals import Refusal
from anyiostream.wire.jsonable import encode

__all__ = ["HEADERS", "answer", "answer_encoded", "caller_of", "key_of", "number_in", "refused", "sent_once"]

TOO_MUCH: Final = frozenset({408, 429})
"""HTTP statuses after which the rest of a request is not waited for."""

LATER: Final = frozenset({429, 503})
"""HTTP statuses by which a client is asked to try again later: there is too much to do, or the server is stopping."""

PAUSE: Final = 1
"""Seconds that such a client is asked to wait. Nobody knows when there is room; clients that wait longer each time, as
ours does, go on to do that."""

LONGEST_KEY: Final = 200
"""Characters of a client's key that are kept as they are. Of a longer one the digest is kept: stores have no room."""

LONGEST_NUMBER: Final = 19
"""Digits of a number in a query."""

HEADERS: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
"""Of a response in JSON."""


def caller_of(connection: HTTPConnection) -> Caller:
    """Who makes a request."""
    client = connection.client
    return Caller({name.lower(): value for name, value in connection.headers.items()}, client and client.host)


def sent_once(body: bytes, key: str | None = None) -> str:
    """Identifies a command that is sent again: the key that its client has given it, or all of its bytes.

    Clients that have had no answer to a command repeat it, byte for byte.
    """
    if not key:
        return f"body {sha256(body).hexdigest()}"
    if len(key) > LONGEST_KEY:
        return f"digest {sha256(key.encode(errors='surrogatepass')).hexdigest()}"
    return f"key {key}"


def key_of(request: HTTPConnection) -> str | None:
    """A client's key for what it sends, from `Idempotency-Key`; `None` without one, or with an empty one."""
    return request.headers.get("idempotency-key") or None


def number_in(query: Mapping[str, str], name: str) -> int | str | None:
    """A number in a query, or the text there if it is none: it is refused where numbers of bodies are."""
    given = query.get(name)
    if given is None or not (given.isascii() and given.isdigit()) or len(given) > LONGEST_NUMBER:
        return given
    return int(given)


def answer(value: Any, status: int = 200) -> Response:
    """A response in JSON."""
    return answer_encoded(encode(value), status)


def answer_encoded(body: bytes, status: int = 200) -> Response:
    """A response in JSON that is encoded already."""
    return Response(body, status, HEADERS, "application/json")


def refused(refusal: Refusal, command_id: int | None = None) -> Response:
    """A response that says why not."""
    response = answer(refusal.envelope(command_id), refusal.status)
    if refusal.status in TOO_MUCH:
        response.headers["connection"] = "close"
    if refusal.status in LATER:
        response.headers["retry-after"] = str(PAUSE)
    return response
