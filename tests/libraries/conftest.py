"""Tests of agents that are made with libraries, in a session of their own: `nox -s tests-libraries`."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

LIBRARIES = (
    "deepagents",
    "langchain_anthropic",
    "langchain_mcp_adapters",
    "langchain_openai",
    "langgraph.checkpoint.postgres",
    "langgraph.checkpoint.sqlite",
    "langgraph_supervisor",
    "langgraph_swarm",
    "mcp",
)


def found(name: str) -> bool:
    """Whether a library is installed."""
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


MISSING = [name for name in LIBRARIES if not found(name)]

# One test of `test_installed.py` tells why the others are not there, or fails where they have to be.
collect_ignore_glob = ["test_[!i]*.py"] if MISSING else []


IGNORED = (
    # Clients that the providers' packages keep for later runs are nobody's to close.
    "ignore:unclosed:ResourceWarning",
    # langgraph-supervisor builds on it.
    "ignore:create_react_agent has been moved:DeprecationWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Other packages' warnings are not errors of these tests."""
    here = f"{Path(__file__).parent}{os.sep}"
    for item in items:
        if str(item.path).startswith(here):  # these are all tests, wherever they are: `path.parents` takes a second
            for each in IGNORED:
                item.add_marker(pytest.mark.filterwarnings(each))


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the machine's settings: no key, no proxy, no tracing; and no certificates, since all is on loopback.

    Each client would read hundreds of certificates, which takes most of a test's time.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(("OPENAI_", "ANTHROPIC_", "LANGCHAIN_", "LANGSMITH_", "LANGGRAPH_", "SSL_CERT_")):
                patch.delenv(name)
            if name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
                patch.delenv(name)
        patch.setenv("SSL_CERT_DIR", str(tmp_path_factory.mktemp("certificates")))
        patch.setenv("LANGSMITH_TRACING", "false")
        yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()
