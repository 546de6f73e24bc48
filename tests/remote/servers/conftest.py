"""One server of each kind for all tests that need nothing special of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import anyiostream.remote

from ..graphs import ASSISTANTS, Progress
from .serving import ALL_SERVERS, SERVERS, serving


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, str]]:
    """The addresses of a server of each kind, for all tests, in whatever order they run."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                serving(name, anyiostream.remote.app(ASSISTANTS, transformers=[Progress], heartbeat=0.5))
            )
            for name in ALL_SERVERS
        }


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, servers: dict[str, str]) -> str:
    """The address of a server on asyncio, and of one on trio."""
    return servers[request.param]


@pytest.fixture(params=["sse", "websocket"])
def transport(request: pytest.FixtureRequest) -> Any:
    """How a client reads events."""
    return request.param
