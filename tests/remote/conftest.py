"""One server of each kind for all tests that need nothing special of it.

With `ANYIOSTREAM_SERVERS=2` there are two of each over one store in Valkey, behind a proxy that goes round them. With
`ANYIOSTREAM_TEST_STORE=sqlite`, or `redis`, there is one, over such a store. What is not so then is skipped: see
`alone.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

import anyiostream.remote

from .alone import NOT_OF_A_SHARED_STORE, NOT_OF_A_STORE, NOT_OF_SEVERAL
from .doubled import double, keep_in
from .graphs import ASSISTANTS, Progress
from .serving import ALL_SERVERS, SERVERS, serving

HERE: Final = Path(__file__).parent
SEVERAL: Final = os.environ.get("ANYIOSTREAM_SERVERS") == "2"
STORE: Final = os.environ.get("ANYIOSTREAM_TEST_STORE", "")

if SEVERAL:
    double()
elif STORE:
    keep_in(STORE)


UNLIKE: Final = NOT_OF_SEVERAL if SEVERAL else {"sqlite": NOT_OF_A_STORE, "redis": NOT_OF_A_SHARED_STORE}.get(STORE, {})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is not so in the mode of this run, and say why."""
    for item in items:
        reason = UNLIKE.get(f"{item.path.name}::{getattr(item, 'originalname', item.name)}")
        if reason and item.path.parent == HERE:
            item.add_marker(pytest.mark.skip(reason=reason))


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
