"""The way that the guide advises against: a run in a generator, which a response reads."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from anyiostream import GraphWriter, open_run
from anyiostream.web import RunResponse

from ..browsing import Browser

pytestmark = pytest.mark.anyio


class Gone(Browser):
    """A client that has left when it is sent the second piece, on a server that says so."""

    @property
    def scope(self) -> dict[str, Any]:
        return {**super().scope, "asgi": {"spec_version": "2.4"}}

    async def send(self, message: dict[str, Any]) -> None:
        if len(self.messages) == 2:
            raise OSError("gone")
        await super().send(message)


class Agent:
    """A graph that knows whether it is at work."""

    def __init__(self) -> None:
        self.at_work = False

    def graph(self) -> Any:
        async def agent(_: Any, writer: GraphWriter) -> None:
            self.at_work = True
            try:
                for n in range(1000):
                    await writer.custom(n)
                await anyio.sleep_forever()
            finally:
                self.at_work = False

        return agent


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_run_is_left_standing() -> None:
    """When the request is over the graph is still at work, until the generator is closed. On trio that is foreign."""
    agent = Agent()

    async def events() -> AsyncGenerator[str]:
        async with open_run(agent.graph()) as run:
            async for event in run:
                yield f"data: {event['method']}\n\n"

    generator = events()
    with pytest.raises(ClientDisconnect):
        await Gone().open(StreamingResponse(generator))
    assert agent.at_work
    await generator.aclose()
    assert not agent.at_work


async def test_a_response_that_is_an_object_stops_it() -> None:
    """By the time that the request is over."""
    agent = Agent()
    await Gone().open(RunResponse(open_run(agent.graph())))
    assert not agent.at_work
