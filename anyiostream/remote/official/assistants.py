"""`assistants.search`, `assistants.get`."""

from __future__ import annotations

from typing import Any, final

from starlette.requests import Request
from starlette.responses import Response

from anyiostream.remote.official.bodies import body_of, number, only, text
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.requests import answer, caller_of
from anyiostream.remote.service import Service

__all__ = ["AssistantEndpoints"]


@final
class AssistantEndpoints:
    """What answers requests about assistants. Their ids are their names; their configuration is the server's own."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def search(self, request: Request) -> Response:
        """`POST /assistants/search`: those that the caller may have described."""
        identity = await self._service.admit(caller_of(request), "describe")
        body = await body_of(self._service, request, identity)
        only(body, {"graph_id", "name", "limit", "offset"}, {"sort_by", "sort_order", "select"})
        graph_id, part = text(body, "graph_id"), text(body, "name") or ""
        first, most = number(body, "offset", 0), number(body, "limit", 10)
        found = []
        for name in sorted(self._service.assistants):
            if graph_id in {None, name} and part in name:
                try:
                    await self._service.admit(caller_of(request), "describe", assistant_id=name)
                except Refusal:
                    continue
                found.append(_shown(name))
        return answer(found[first : first + most])

    async def get(self, request: Request) -> Response:
        """`GET /assistants/{id}`."""
        name = request.path_params["assistant_id"]
        await self._service.admit(caller_of(request), "describe", assistant_id=name)
        if name not in self._service.assistants:
            raise Refusal("invalid_argument", "there is no such assistant.", status=404)
        return answer(_shown(name))


def _shown(name: str) -> dict[str, Any]:
    about = {"config": {}, "context": {}, "metadata": {}, "version": 1, "created_at": None, "updated_at": None}
    return {"assistant_id": name, "graph_id": name, "name": name, "description": None, **about}
