"""Each test runs in every lab: both libraries, all lanes and loops."""

from __future__ import annotations

import inspect
from importlib.metadata import version

import pytest

from .adapter import ALL, Lab

INSTALLED = tuple(map(int, version("langgraph").split(".")[:3]))


def pytest_configure(config: pytest.Config) -> None:
    """The marker of the tests in this folder."""
    config.addinivalue_line("markers", "theirs_since(version): theirs does what the test says from this version on")


@pytest.fixture(params=ALL, ids=str)
def lab(request: pytest.FixtureRequest) -> Lab:
    """The library and the lane that the test runs in."""
    lab: Lab = request.param
    since = request.node.get_closest_marker("theirs_since")
    if since is not None and not lab.ours and since.args[0] > INSTALLED:
        pytest.skip("this LangGraph is older than what the test says of it")
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
