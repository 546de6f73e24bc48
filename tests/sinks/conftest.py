"""The official readers, for all tests; and only those of protocols whose module is there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from anyiostream.sinks import PROTOCOLS

from ..npm import installed
from .readers import FOLDER, READERS, Readers


@pytest.fixture(scope="session")
def readers() -> Iterator[Readers]:
    """The official readers on Node."""
    installed(FOLDER)
    started = Readers()
    yield started
    started.close()


@pytest.fixture(autouse=True)
def _needed(request: pytest.FixtureRequest) -> None:
    """A test for a protocol, or for a reader of it, is skipped without the protocol's module."""
    marked = [mark.args[0] for mark in request.node.iter_markers("protocol")]
    parameters = request.node.callspec.params.values() if hasattr(request.node, "callspec") else ()
    for each in (*marked, *(value for value in parameters if isinstance(value, str))):
        module = PROTOCOLS.get(READERS.get(each, each))
        if module is not None:
            pytest.importorskip(f"anyiostream.sinks.{module}")
