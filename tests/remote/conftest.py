"""One server of each kind for all tests that need nothing special of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from anyiostream.remote import app

from .graphs import ASSISTANTS, Progress
from .serving import SERVERS, serving


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server on asyncio, and of one on trio."""
    with serving(request.param, app(ASSISTANTS, transformers=[Progress], heartbeat=0.5)) as url:
        yield url


@pytest.fixture(params=["sse", "websocket"])
def transport(request: pytest.FixtureRequest) -> Any:
    """How a client reads events."""
    return request.param
