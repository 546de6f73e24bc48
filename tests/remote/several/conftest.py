"""A Valkey server, and servers of one deployment in one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..store.valkey import Valkey, valkey
from .deployment import Deployment


@pytest.fixture(scope="session")
def store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A Valkey server for all tests; each has a prefix of its own."""
    with valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture
def deployment(store_server: Valkey, tmp_path: Path) -> Deployment:
    """Servers that share a store and checkpoints, none of them running yet."""
    return Deployment(store_server.url, tmp_path)
