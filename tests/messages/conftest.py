"""Each test that takes a `lab` runs on the sync lane, without a loop, and on asyncio in debug mode, uvloop and trio."""

from __future__ import annotations

import inspect

import pytest

from ..conformance.adapter import OURS, Lab


@pytest.fixture(params=OURS, ids=lambda lab: lab.lane)
def lab(request: pytest.FixtureRequest) -> Lab:
    """The lane that the test runs on."""
    lab: Lab = request.param
    return lab


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Let the lab run the test."""
    lab = pyfuncitem.funcargs.get("lab")
    if not isinstance(lab, Lab) or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    lab.run(pyfuncitem.obj, **{name: pyfuncitem.funcargs[name] for name in names})
    return True
