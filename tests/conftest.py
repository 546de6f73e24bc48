"""The loops that tests run on, and what becomes of a test that hangs."""

from __future__ import annotations

import asyncio.constants
import functools
import gc
import inspect
import logging
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from importlib.metadata import version
from typing import Any, Final

import anyio
import pytest
from hypothesis import HealthCheck, settings
from packaging.version import Version  # pytest itself requires it

from .deleted import pytest_runtest_call  # noqa: F401 -- a hook
from .thorough import THOROUGH
from .waiting import PATIENCE

# By default an example that takes 200 ms fails, as it may on any machine that does something else.
settings.register_profile(
    "patient", max_examples=100 * THOROUGH, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")


def is_about_speed(record: logging.LogRecord) -> bool:
    """Whether asyncio's debug mode says that a step took 0.1 s or more."""
    return str(record.msg).startswith("Executing %s took")


# Any step takes that long now and then on a machine that does something else, and tests look at what is logged.
logging.getLogger("asyncio").addFilter(lambda record: not is_about_speed(record))


STACK: Final = 3
"""Frames that asyncio's debug mode notes for each task, future and callback.

It notes all of them for a future, some fifty below pytest, and looks on the disk whether their files have changed: half
of the time of what runs in that mode.
"""

asyncio.constants.DEBUG_STACK_DEPTH = STACK
traceback.extract_stack.__defaults__ = (None, STACK)  # asyncio's C code keeps the function, and gives no limit


def pytest_configure(config: pytest.Config) -> None:
    """Before 4.16, AnyIO leaves a socket to the garbage collector if it is cancelled just when it has connected."""
    if Version(version("anyio")) < Version("4.16"):
        left = "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
        config.addinivalue_line("filterwarnings", left)


@pytest.hookimpl(trylast=True)  # after they have been put in random order
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """No test hangs, although none has a deadline: a finite deadline would change what a run does about a stall.

    Workers begin with the files that take longest, so that none is left with one when the others have ended.
    """
    if hasattr(config, "workerinput"):
        sizes = Counter(item.path for item in items)
        early = {item.path for item in items if item.get_closest_marker("early")}
        items.sort(key=lambda item: (item.path not in early, -sizes[item.path]))
    for item in items:
        if not isinstance(item, pytest.Function) or not item.get_closest_marker("anyio"):
            continue
        if inspect.iscoroutinefunction(item.obj):
            item.obj = bounded(item.obj)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """No garbage is looked for while modules are imported and tests are found: nearly all of that stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """No collection looks through all that has been imported again: many tests collect, and so does Python itself."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _frozen_when_over() -> Generator[None]:
    """Nor through what stays of files that are over: reports, caches, the modules that their tests have imported.

    As a fixture, because what is found here is a matter of this file's tests, and of the warnings that they allow.
    """
    yield
    gc.collect()
    gc.freeze()


def bounded(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """`test`, cancelled by another task when `PATIENCE` is at its end."""

    @functools.wraps(test)
    async def run(*args: Any, **kwargs: Any) -> None:
        expired = False

        async def watch(scope: anyio.CancelScope) -> None:
            nonlocal expired
            await anyio.sleep(PATIENCE)
            expired = True
            scope.cancel()

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch, tasks.cancel_scope)
                await test(*args, **kwargs)
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            if len(group.exceptions) > 1:
                raise
            raise group.exceptions[0] from None
        if expired:
            pytest.fail(f"hung for {PATIENCE} s")

    return run


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"debug": True}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("trio", {}), id="trio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Each async test runs on asyncio in debug mode, on uvloop and on trio."""
    return request.param
