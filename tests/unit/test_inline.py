"""Running a coroutine that must not suspend."""

from __future__ import annotations

from typing import Any

import pytest

from anyiostream.errors import ForeignAwait
from anyiostream.inline import run_inline


def test_the_result_is_returned() -> None:
    """A coroutine that awaits only coroutines that do not suspend runs to its end."""

    async def inner() -> int:
        return 2

    async def outer() -> int:
        return await inner() + await inner()

    assert run_inline(outer(), "outer") == 4


def test_no_result_is_none() -> None:
    """A coroutine without a return value gives `None`."""

    async def nothing() -> None:
        return

    assert run_inline(nothing(), "nothing") is None


def test_its_exception_is_raised_as_it_is() -> None:
    """Whatever the coroutine raises comes out, the same object."""
    error = ValueError("no")

    async def fails() -> None:
        raise error

    with pytest.raises(ValueError, match="no") as caught:
        run_inline(fails(), "fails")
    assert caught.value is error


def test_a_suspension_is_refused_and_names_who_did_it(suspension: Any) -> None:
    """A coroutine that suspends raises `ForeignAwait`, with its name and the type that it awaited."""

    async def waits() -> None:
        await suspension()

    with pytest.raises(ForeignAwait, match=r"the hook awaited Suspension"):
        run_inline(waits(), "the hook")


def test_a_refused_coroutine_is_closed(suspension: Any) -> None:
    """The coroutine's clean-up runs before the error is raised."""
    cleaned: list[str] = []

    async def waits() -> None:
        try:
            await suspension()
        finally:
            cleaned.append("up")

    with pytest.raises(ForeignAwait):
        run_inline(waits(), "waits")
    assert cleaned == ["up"]


def test_control_flow_exceptions_pass() -> None:
    """`KeyboardInterrupt` is not swallowed."""

    async def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_inline(interrupted(), "interrupted")
