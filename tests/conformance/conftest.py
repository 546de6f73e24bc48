"""Each test runs in every lab: both libraries, all lanes and loops."""

from __future__ import annotations

import inspect

import pytest

from .adapter import ALL, Lab


@pytest.fixture(params=ALL, ids=str)
def lab(request: pytest.FixtureRequest) -> Lab:
    """The library and the lane that the test runs in."""
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
