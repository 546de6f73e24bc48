"""Further routes of the official server, for clients that expect them: threads, assistants and runs by themselves.

They use the same threads, owners, limits and stores as the streaming protocol. `docs/remote.md` says which calls of the
official clients they answer; everything else is answered with a 404 that says what is served.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from anyiostream.remote.official.assistants import AssistantEndpoints
from anyiostream.remote.official.runs import RunEndpoints
from anyiostream.remote.official.threads import ThreadEndpoints
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.requests import answer
from anyiostream.remote.service import Service

__all__ = ["not_served", "official_routes"]

Endpoint = Callable[[Request], Awaitable[Any]]

WRONG: Final = 400

SERVED: Final = (
    "GET /ok", "GET /ready", "GET /info",
    "POST /assistants/search", "GET /assistants/{id}", "GET /assistants/{id}/graph",
    "POST /threads", "POST /threads/search", "GET /threads/{id}", "DELETE /threads/{id}",
    "GET /threads/{id}/state", "GET /threads/{id}/state/{checkpoint}", "POST /threads/{id}/state/checkpoint",
    "POST /threads/{id}/history",
    "POST /threads/{id}/commands", "POST, GET and WS /threads/{id}/stream/events",
    "POST /threads/{id}/runs", "GET /threads/{id}/runs", "GET /threads/{id}/runs/{run}",
    "POST /threads/{id}/runs/stream", "POST /threads/{id}/runs/wait", "POST /runs/stream", "POST /runs/wait",
    "GET /threads/{id}/runs/{run}/join", "GET /threads/{id}/runs/{run}/stream",
    "POST /threads/{id}/runs/{run}/cancel",
)  # fmt: skip


def official_routes(service: Service, guarded: Callable[[Endpoint], Endpoint]) -> list[Route]:
    """The routes. `guarded` makes answers of refusals."""
    threads, assistants, runs = ThreadEndpoints(service), AssistantEndpoints(service), RunEndpoints(service)
    table: list[tuple[str, str, Endpoint]] = [
        ("POST", "/threads", threads.create),
        ("POST", "/threads/search", threads.search),
        ("GET", "/threads/{thread_id}", threads.get),
        ("DELETE", "/threads/{thread_id}", threads.delete),
        ("POST", "/threads/{thread_id}/history", threads.history),
        ("POST", "/threads/{thread_id}/state/checkpoint", threads.state_at),
        ("GET", "/threads/{thread_id}/state/{checkpoint_id}", threads.state_at),
        ("POST", "/assistants/search", assistants.search),
        ("GET", "/assistants/{assistant_id}", assistants.get),
        ("POST", "/runs/stream", runs.stream),
        ("POST", "/runs/wait", runs.wait),
        ("POST", "/threads/{thread_id}/runs", runs.create),
        ("GET", "/threads/{thread_id}/runs", runs.list),
        ("POST", "/threads/{thread_id}/runs/stream", runs.stream),
        ("POST", "/threads/{thread_id}/runs/wait", runs.wait),
        ("GET", "/threads/{thread_id}/runs/{run_id}", runs.get),
        ("GET", "/threads/{thread_id}/runs/{run_id}/join", runs.join),
        ("GET", "/threads/{thread_id}/runs/{run_id}/stream", runs.join_stream),
    ]
    return [Route(path, guarded(with_status(endpoint)), methods=[method]) for method, path, endpoint in table]


def with_status(endpoint: Endpoint) -> Endpoint:
    """An endpoint whose refusals have an error status, also those that the streaming protocol tells in an envelope."""

    async def answered(request: Request) -> Any:
        try:
            return await endpoint(request)
        except Refusal as refusal:
            if refusal.status >= WRONG:
                raise
            raise Refusal(refusal.code, refusal.text, status=WRONG) from None

    return answered


async def not_served(_: Request, __: Exception) -> Response:
    """What is asked for and not served: 404, with what is."""
    return answer({"error": "not_found", "message": "this server has no such route.", "served": SERVED}, 404)
