"""The tests of one server, run against two: `ANYIOSTREAM_SERVERS=2`; or over another store: `ANYIOSTREAM_TEST_STORE`.

With two, `app` makes two applications over a store in Valkey, and `serving` serves both behind a proxy that goes round
them, connection by connection. With a store, `app` gives each application one of its own. Nothing else about the tests
changes.
"""

from __future__ import annotations

import atexit
import functools
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import anyio
import attrs
from anyio import from_thread
from anyio.lowlevel import current_token
from langgraph.checkpoint.memory import InMemorySaver

import anyiostream.remote
from anyiostream.remote import Assistant
from anyiostream.remote.store import SqliteStore
from anyiostream.remote.store.redis import RedisStore

from ..faults.tcp_proxy import proxy
from ..waiting import PATIENCE
from .store.saver import FileSaver
from .store.valkey import valkey

__all__ = ["behind_proxy", "double", "keep_in", "twin_of"]

_original = anyiostream.remote.app
_twins: dict[int, tuple[Any, Any]] = {}


_until_exit = ExitStack()
atexit.register(_until_exit.close)


@functools.cache
def _folder() -> Path:
    """A folder that is there as long as this process."""
    return Path(_until_exit.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))


@functools.cache
def _store() -> str:
    """The address of a Valkey server that lives as long as this process."""
    return _until_exit.enter_context(valkey(_folder())).url


def double() -> None:
    """From now on, `anyiostream.remote.app` makes two of each. Called before tests import it."""

    @functools.wraps(_original)
    def two(assistants: Any, **options: Any) -> Any:
        if _is_of_its_own(options):
            return _original(assistants, **options)
        address = _address()
        one, other = (_original(_shared(assistants), store=_patient(address), **options) for _ in range(2))
        _twins[id(one)] = one, other
        return one

    anyiostream.remote.app = two


def keep_in(kind: str) -> None:
    """From now on, `anyiostream.remote.app` gives each application a store: `sqlite` or `redis`."""

    @functools.wraps(_original)
    def kept(assistants: Any, **options: Any) -> Any:
        if _is_of_its_own(options):
            return _original(assistants, **options)
        store = SqliteStore(_folder() / uuid4().hex) if kind == "sqlite" else _patient(_address())
        return _original(_shared(assistants), **{**options, "store": store})

    anyiostream.remote.app = kept


def _is_of_its_own(options: Mapping[str, Any]) -> bool:
    """Whether a test has a store of its own, or a limit that no shared store has."""
    limits = options.get("limits")
    return options.get("store") is not None or (limits is not None and limits.lead is not None)


def _address() -> str:
    return f"{_store()}?prefix={uuid4()}"


def _patient(address: str) -> RedisStore:
    return RedisStore(address, lease=PATIENCE, deadline=PATIENCE)


def twin_of(application: Any) -> Any | None:
    """The other application of a pair."""
    pair = _twins.get(id(application))
    return None if pair is None else pair[1]


def _shared(assistants: Any) -> Any:
    """The assistants, with checkpoints in a file in place of those that are in memory."""
    if not isinstance(assistants, Mapping):
        return assistants
    made = {name: each if isinstance(each, Assistant) else Assistant(graph=each) for name, each in assistants.items()}
    return {name: _with_file(each) for name, each in made.items()}


def _with_file(assistant: Assistant) -> Assistant:
    if type(getattr(assistant.graph, "checkpointer", None)) is InMemorySaver:
        assistant.graph.checkpointer = FileSaver(_folder() / uuid4().hex)
    return attrs.evolve(assistant, shared_checkpoints=True)


@contextmanager
def behind_proxy(*addresses: str) -> Iterator[str]:
    """A block in which there is a proxy to these servers; its address."""
    ready, port = threading.Event(), 0
    stop: list[Any] = []

    async def main() -> None:
        nonlocal port
        async with proxy(*(("127.0.0.1", urlsplit(each).port or 0) for each in addresses)) as between:
            port = between.port
            with anyio.CancelScope() as scope:
                token = current_token()
                stop.append(functools.partial(from_thread.run_sync, scope.cancel, token=token))
                ready.set()
                await anyio.sleep_forever()

    thread = threading.Thread(target=anyio.run, args=(main,), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop[0]()
        thread.join()
