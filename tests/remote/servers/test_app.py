"""The application as part of another one, and without what it needs."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import anyiostream
from anyiostream.errors import NotAGraph
from anyiostream.remote import Assistant, Limits, RunContext, app, close_streams, run_context

from ..graphs import ASSISTANTS
from .raw import Client
from .serving import serving

ROOT = Path(anyiostream.__file__).parent.parent


def test_it_is_mounted_in_another_one() -> None:
    """Whose lifespan runs its own; every path is below the mount's."""
    inner = app(ASSISTANTS)
    outer = Starlette(routes=[Mount("/runs", inner)], lifespan=lambda _: inner.router.lifespan_context(inner))
    with serving("uvicorn", outer) as url, Client(f"{url}/runs") as client:
        client.start("everything", 1)
        assert client.ended()[-1]["params"]["data"]["event"] == "completed"
        with client.socket():
            pass


@pytest.mark.parametrize("store", ["memory", "sqlite:{}/runs.sqlite"])
def test_without_a_lifespan_no_run_is_accepted(store: str, tmp_path: Path) -> None:
    """And it is said why."""
    inner = app(ASSISTANTS, store=store.format(tmp_path))
    with serving("uvicorn", Starlette(routes=[Mount("/", inner)])) as url, Client(url) as client:
        response = client.command("run.start", {"assistant_id": "everything"})
        assert response.status_code == 503
        assert "lifespan" in response.json()["message"]


def test_a_runs_configuration() -> None:
    """What the assistant's sets stays, unless callers may set it; the thread is the server's to say."""
    server = {"configurable": {"a": 1, "b": 1}, "tags": ["x"], "metadata": {"m": 1}, "recursion_limit": 7}
    given = {
        "configurable": {"b": 2, "c": 2, "thread_id": "somebody's"},
        "metadata": {"m": 2, "n": 2, "run_id": "mine"},
        "tags": ["y"],
        "run_name": "z",
        "recursion_limit": 9,
    }
    for configurable, expected in ((None, {"a": 1, "b": 1, "c": 2}), (["b"], {"a": 1, "b": 2}), ([], {"a": 1, "b": 1})):
        assistant = Assistant(graph=None, config=server, configurable=configurable)
        assert assistant.run_config(given, RunContext("t", "r", "", {})) == {
            "configurable": {**expected, "thread_id": "t"},
            "metadata": {"m": 1, "n": 2, "thread_id": "t", "run_id": "r"},
            "tags": ["x", "y"],
            "run_name": "z",
            "recursion_limit": 7,
        }


def test_a_graph_knows_its_run() -> None:
    """A function graph, which takes no configuration, finds it in its context; so it does the caller's."""

    async def graph(_: object, __: object) -> object:
        context = run_context.get()
        return [context.thread_id, context.owner, context.config["configurable"], context.config["metadata"]]

    with serving("uvicorn", app({"g": graph}, authorize=lambda _: "ada")) as url, Client(url) as client:
        client.start("g", config={"configurable": {"x": 1}}, metadata={"m": 1})
        client.ended()
        assert client.state().json()["values"] == ["t", "ada", {"x": 1}, {"m": 1}]


def test_it_is_served_again() -> None:
    """After it has been stopped, also in another event loop; as a new server, which knows no thread."""
    application = app(ASSISTANTS)
    for turn, name in enumerate(["uvicorn", "hypercorn-trio", "uvicorn"]):
        with serving(name, application) as url, Client(url) as client:
            assert client.state().status_code == 404
            client.start("everything", turn)
            assert client.ended()[-1]["params"]["data"]["event"] == "completed"
            assert client.state().json()["values"]["given"] == turn


def test_once_it_is_being_stopped_nothing_is_accepted() -> None:
    """Clients are asked to come back: a status after which they try again."""
    application = app(ASSISTANTS)
    with serving("uvicorn", application) as url, Client(url) as client:
        close_streams(application)
        assert client.command("run.start", {"assistant_id": "everything"}).status_code == 503
        assert client.refused() == 503


@pytest.mark.parametrize("bound", [0, -1, True, "x", None, math.nan])
def test_bounds_that_are_none(bound: object) -> None:
    """Are refused where they are given."""
    with pytest.raises(ValueError, match="events must be positive"):
        Limits(events=bound)  # type: ignore[arg-type]


def test_errors_of_opening_are_the_runs(caplog: pytest.LogCaptureFixture) -> None:
    """They are logged with their traceback here, and told without it there."""
    with serving("uvicorn", app({"none": 3})) as url, Client(url) as client:
        client.start("none")
        assert client.ended()[-1]["params"]["data"]["event"] == "failed"
    assert any(record.exc_info and record.exc_info[0] is NotAGraph for record in caplog.records)


@pytest.mark.parametrize("missing", ["starlette", "httpx"])
def test_the_extra_is_named_if_it_is_missing(missing: str) -> None:
    """As an ImportError that says what to install; in a process of its own, where nothing has been imported."""
    program = f"import sys; sys.modules[{missing!r}] = None; import anyiostream.remote"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "MissingExtra: anyiostream.remote needs the `remote` extra" in done.stderr
    assert "python -m pip install 'anyiostream-runs[remote]'" in done.stderr
