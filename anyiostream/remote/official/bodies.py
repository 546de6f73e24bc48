"""Bodies of requests, and what they ask for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from starlette.requests import Request

from anyiostream.remote.refusals import Refusal
from anyiostream.remote.requests import caller_of
from anyiostream.remote.service import Service
from anyiostream.remote.thread import Thread

__all__ = ["MOST", "body_of", "checkpoint_in", "known_thread", "number", "only", "text"]

MOST: Final = 1000
"""Most items that one answer lists."""


async def body_of(service: Service, request: Request, identity: str) -> dict[str, Any]:
    """The body of a request, which is an object.

    Raises:
        Refusal: It is not one, or is too large.
    """
    body = await service.intake.value(request.stream(), identity)
    if not isinstance(body, dict):
        raise Refusal("invalid_argument", "the body must be an object.", status=400)
    return body


def only(body: Mapping[str, Any], taken: Collection[str], ignored: Collection[str] = ()) -> None:
    """Refuse what is set and not taken: nothing that a client asks for is silently ignored.

    Raises:
        Refusal: HTTP status 400, and says what is not taken.
    """
    for name, value in body.items():
        if name not in taken and name not in ignored and value not in (None, {}, [], False):
            raise Refusal("not_supported", f"`{name}` is not supported here.", status=400)


def number(body: Mapping[str, Any], name: str, default: int) -> int:
    """A count in a body: `limit`, `offset`.

    Raises:
        Refusal: It is not one.
    """
    given = body.get(name)
    if given is None:
        return default
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= MOST:
        raise Refusal("invalid_argument", f"`{name}` must be a number from 0 to {MOST}.", status=400)
    return given


def text(body: Mapping[str, Any], name: str) -> str | None:
    """A text in a body; `None` if there is none.

    Raises:
        Refusal: It is not one.
    """
    given = body.get(name)
    if given is not None and not isinstance(given, str):
        raise Refusal("invalid_argument", f"`{name}` must be a string.", status=400)
    return given


def checkpoint_in(body: Mapping[str, Any]) -> str | None:
    """The id of a checkpoint of the outermost graph: a body's `checkpoint`. The thread is that of the path.

    One without an id, as threads without checkpoints have it in their histories, is none.

    Raises:
        Refusal: It is not one.
    """
    given = body.get("checkpoint")
    if given is None:
        return None
    if (
        not isinstance(given, dict)
        or given.get("checkpoint_ns")
        or given.get("checkpoint_map")
        or not isinstance(given.get("checkpoint_id", ""), str | None)
    ):
        raise Refusal("not_supported", "a `checkpoint` must be the id of one of the outermost graph.", status=400)
    return given.get("checkpoint_id") or None


async def known_thread(service: Service, request: Request, action: Any = "read") -> Thread:
    """The thread that a request names, of its caller.

    Raises:
        Refusal: The caller may not, or has no such thread (404).
    """
    thread_id = request.path_params["thread_id"]
    thread = await service.known_thread(thread_id, await service.admit(caller_of(request), action, thread_id))
    if thread is None:
        raise Refusal("invalid_argument", "there is no such thread.", status=404)
    return await thread.fresh()
