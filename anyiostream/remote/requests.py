"""Reading what clients send over HTTP, within the limits; answering in JSON."""

from __future__ import annotations

from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from anyiostream.remote.jsonable import encode
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.service import Caller

__all__ = ["answer", "caller_of", "read_body", "refused"]

HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


async def read_body(request: Request, most: int) -> bytes:
    """The request's body.

    Raises:
        Refusal: It has more than `most` bytes; no more than these have been read then. HTTP status 413.
    """
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise Refusal("invalid_argument", f"the request has more than {most} bytes.", status=413)
        pieces.append(piece)
    return b"".join(pieces)


def caller_of(connection: HTTPConnection) -> Caller:
    """Who makes a request."""
    client = connection.client
    return Caller({name.lower(): value for name, value in connection.headers.items()}, client and client.host)


def answer(value: Any, status: int = 200) -> Response:
    """A response in JSON."""
    return Response(encode(value), status, HEADERS, "application/json")


def refused(refusal: Refusal, command_id: int | None = None) -> Response:
    """A response that says why not."""
    return answer(refusal.envelope(command_id), refusal.status)
