"""Whether this package shows of an agent what the original shows, and where it does not."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from ..conformance.adapter import Lab
from .cases import Case
from .observing import observed

__all__ = ["assert_alike"]


def assert_alike(case: Case, lab: Lab, view: Callable[..., Any], *, without: Collection[str] = ()) -> None:
    """What readers see of the case is what they see through the original; the error names every place that differs.

    `without` names projections in which the libraries differ on purpose.
    """
    got, want = observed(lab, case, view), _expected(case, view, is_async=lab.is_async)
    places = list(_differences("", _cut(got, without), _cut(want, without)))
    assert not places, "\n".join(["differs from the original:", *places[:40]])


@functools.cache
def _expected(case: Case, view: Callable[..., Any], *, is_async: bool) -> Any:
    return observed(Lab("theirs", "asyncio" if is_async else "sync"), case, view)


def _cut(seen: Any, without: Collection[str]) -> Any:
    return {**seen, "runs": [{name: each for name, each in run.items() if name not in without} for run in seen["runs"]]}


def _differences(place: str, got: Any, want: Any) -> Iterator[str]:
    """Each place where two observations differ, with both values."""
    if isinstance(got, Mapping) and isinstance(want, Mapping):
        for key in [*want, *(key for key in got if key not in want)]:
            yield from _differences(f"{place}.{key}", got.get(key, "<nothing>"), want.get(key, "<nothing>"))
    elif isinstance(got, list) and isinstance(want, list):
        for number in range(max(len(got), len(want))):
            ours = got[number] if number < len(got) else "<nothing>"
            theirs = want[number] if number < len(want) else "<nothing>"
            yield from _differences(f"{place}[{number}]", ours, theirs)
    elif got != want:
        yield f"{place}:\n    ours   {_short(got)}\n    theirs {_short(want)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 600 else f"{text[:600]} ..."
