"""A request's end is its own: whatever is raised while it is answered ends that request, and nothing else.

A request runs code that is not the server's: the `authorize` hook, a checkpointer that makes objects of what it has
saved, a graph's objects when they are encoded. Any `BaseException` may come out of it. Let through, `SystemExit` would
end some servers, with all runs. `containing` tells what is the server's own.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anyiostream.remote.containing import in_request, pass_on_own
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.requests import refused
from anyiostream.tooling import loggable, name_of, text_of
from anyiostream.wire.redaction import one_line

__all__ = ["contained", "failure", "unreadable"]

logger = logging.getLogger(__name__)

FAILED: Final = 1011
"""Close code that says that the server has failed."""


async def failure(error: BaseException, scope: Scope) -> Refusal:
    """What a request is refused with that has ended with an error, which is logged. Called where it has been caught.

    What is the server's own is raised.
    """
    what = _named(scope)
    await pass_on_own(error, what)
    logger.error(
        "%s has failed with %s: %s. Mend what has raised it: the graph, its checkpointer, or the hook that authorizes",
        what, name_of(error), one_line(text_of(error)), exc_info=loggable(error),
    )  # fmt: skip
    return Refusal("unknown_error", "the server cannot answer this; its log says why.", status=500)


async def unreadable(error: BaseException, thread_id: str) -> Refusal:
    """What a request is refused with that needs checkpoints that cannot be read; logged as in `failure`."""
    await pass_on_own(error, f"reading the checkpoints of thread {thread_id}")
    logger.error(
        "a checkpoint of thread %s cannot be read: %s: %s. Mend the class that is saved there, or delete the thread",
        thread_id, name_of(error), one_line(text_of(error)), exc_info=loggable(error),
    )  # fmt: skip
    text = "a checkpoint of this thread cannot be read; the server's log says why."
    return Refusal("unknown_error", text, status=500)


async def contained(inner: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Have `inner` answer a request. If it fails, the answer is a 500, a socket is closed, and a stream is cut."""
    begun = False

    async def noting(message: Message) -> None:
        nonlocal begun
        begun = True
        await send(message)

    token = in_request.set(True)
    try:
        await inner(scope, receive, noting)
    except BaseException as exc:  # noqa: BLE001 -- what is the server's own is passed on
        refusal = await failure(exc, scope)
        # The client may have left meanwhile, which servers say in their own ways.
        with suppress(Exception):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": FAILED, "reason": refusal.text})
            elif not begun:
                await refused(refusal)(scope, receive, send)
    finally:
        in_request.reset(token)


def _named(scope: Scope) -> str:
    return f"the request {one_line(scope.get('method', 'WebSocket'))} {one_line(scope['path'])}"
