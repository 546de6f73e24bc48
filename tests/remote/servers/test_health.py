"""What an operator asks: whether the server lives, is ready, what it is, and how much there is of what is bounded."""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from websockets.exceptions import InvalidStatus

import anyiostream
from anyiostream.remote import Access, Limits, SqliteStore, app, health
from anyiostream.remote.metrics import METRICS, reported
from anyiostream.remote.store import StoreFailed

from ...waiting import PATIENCE, until
from ..graphs import ASSISTANTS, State
from .raw import Client, events, root_event
from .serving import SERVERS, serving

SECRET_THREAD = "thread-of-nobody-else"


@pytest.mark.parametrize("server", SERVERS)
def test_probes(server: str) -> None:
    """They are answered by whatever name the server is called, and say whether it takes anything on."""
    application = app(ASSISTANTS, authorize=lambda _: None)
    with serving(server, application) as url, httpx.Client(base_url=url, timeout=PATIENCE) as client:
        probe = {"host": "10.0.0.7:80"}
        assert client.get("/ok", headers=probe).json() == {"ok": True}
        assert client.get("/ready", headers=probe).json() == {"ready": True}
        assert client.get("/info").json()["version"] == anyiostream.__version__
        assert client.get("/info", headers=probe).status_code == 421
        assert client.get("/threads/t/state", headers=probe).status_code == 421
        application.state.service.closing = True
        refused = client.get("/ready")
        assert (refused.status_code, refused.json()) == (503, {"ready": False, "reason": "it is being stopped"})
        assert client.get("/ok").status_code == 200


def test_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them has a value while a server runs, and none afterwards."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(metrics, "get_meter", provider.get_meter)

    def values() -> dict[str, Any]:
        data = reader.get_metrics_data()
        found = [] if data is None else data.resource_metrics[0].scope_metrics[0].metrics
        points = {metric.name.removeprefix("anyiostream.remote."): metric.data.data_points[0] for metric in found}
        return {name: point.value for name, point in points.items() if hasattr(point, "value")}  # not histograms

    with serving("uvicorn", app(ASSISTANTS)) as url, Client(url) as client:
        client.start("endless")
        with client.stream(channels=["lifecycle"]) as response:
            seen = events(response)  # which leaves the stream when it is collected
            next(seen)
            # Of a store that servers share:
            shared = dict.fromkeys(("fenced", "margin", "takeovers", "unclaimed", "age"), 0)
            own = {"threads": 1, "kept": 0, "held": 1, "runs": 1, "queued": 0, "connections": 1, "bodies": 0, "gaps": 0}
            own["abridged"] = 0
            assert values() == {**own, **shared}
            assert values().keys() == METRICS.keys()
    assert values() == {}
    provider.shutdown()


def test_how_long_the_store_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Is a histogram in ms while the server runs, and summed up for operators."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(metrics, "get_meter", provider.get_meter)
    store = SqliteStore(tmp_path / "f")
    with serving("uvicorn", app(ASSISTANTS, store=store)) as url, Client(url) as client:
        client.start("everything")
        client.ended()
        shown = client.http.get("/stats").json()
        data = reader.get_metrics_data()
        assert data is not None
        found = {each.name: each for each in data.resource_metrics[0].scope_metrics[0].metrics}
        reported_ = found["anyiostream.remote.append"]
        point: Any = reported_.data.data_points[0]
        assert reported_.unit == "ms"
        assert point.count >= shown["append"]["count"] > 0
        assert 0 < shown["append"]["p50"] <= shown["append"]["p99"] <= shown["append"]["max"] <= shown["append"]["sum"]
    assert store.latencies["append"].report is None
    provider.shutdown()


@pytest.mark.parametrize("server", SERVERS)
def test_figures_are_for_operators(server: str) -> None:
    """Whom the hook knows and the program names, also while the server is being stopped; they name nobody."""

    def authorize(access: Access) -> str | None:
        assert access.action != "observe" or access.thread_id is None
        return access.headers.get("x-user")

    application = app(ASSISTANTS, authorize=authorize, operators=["ops"])
    with serving(server, application) as url, httpx.Client(base_url=url, timeout=PATIENCE) as client:
        created = client.post("/threads", json={"thread_id": SECRET_THREAD}, headers={"x-user": "ann-of-somewhere"})
        assert created.status_code == 200
        for user, status in (("", 401), ("ann-of-somewhere", 403), ("ops", 200)):
            answer = client.get("/stats", headers={"x-user": user} if user else {})
            assert answer.status_code == status
        shown = answer.json()
        assert METRICS.keys() <= shown.keys()
        assert not any(name in answer.text for name in ("ann", SECRET_THREAD))
        assert client.get("/stats", headers={"x-user": "ops", "host": "10.0.0.7"}).status_code == 421
        application.state.service.closing = True
        assert client.get("/stats", headers={"x-user": "ops"}).status_code == 200


def test_gaps_are_counted() -> None:
    """Each reader who is told that something is no longer kept."""
    with serving("uvicorn", app(ASSISTANTS, limits=Limits(events=4))) as url, Client(url) as client:
        client.start("everything")
        while client.http.get("/threads/t").json()["status"] == "busy":
            pass
        assert client.http.get("/stats").json()["gaps"] == 0
        for expected in (1, 2):
            with client.stream(channels=["values"], since=0) as response:
                assert response.status_code == 410
            assert client.http.get("/stats").json()["gaps"] == expected


def test_a_store_that_does_not_take_a_write_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 503, in words, for as long as that is so; the server lives."""
    monkeypatch.setattr(health, "INTERVAL", -1.0)  # each asks anew
    store = SqliteStore(tmp_path / "f")
    with (
        serving("uvicorn", app(ASSISTANTS, store=store)) as url,
        httpx.Client(base_url=url, timeout=PATIENCE) as client,
    ):
        assert client.get("/ready").json() == {"ready": True}

        async def refuse(_: str) -> bool:
            raise StoreFailed("disk full")

        renew, store.renew = store.renew, refuse  # type: ignore[method-assign]
        answer = client.get("/ready")
        reason = "the store has refused a write: it is full, or fails; the server's log says more"
        assert (answer.status_code, answer.json()) == (503, {"ready": False, "reason": reason})
        assert client.get("/ok").status_code == 200
        store.renew = renew  # type: ignore[method-assign]
        assert client.get("/ready").status_code == 200


def test_no_metrics_without_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else is missing."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with reported(dict, {}):
        pass


@pytest.mark.parametrize("server", SERVERS)
def test_a_cancelled_run_may_leave_something_running(server: str) -> None:
    """A synchronous node cannot be stopped, and another one may refuse to: whoever waits is told."""
    gate, entered = threading.Event(), threading.Event()

    def stuck(_: State) -> Any:
        entered.set()
        gate.wait(PATIENCE)
        return {}

    graph = StateGraph(State).add_node("stuck", stuck).add_edge(START, "stuck").compile(checkpointer=InMemorySaver())
    with serving(server, app({**ASSISTANTS, "stuck": graph}, limits=Limits(shutdown=PATIENCE))) as url:
        for assistant, stopped, running in (("stuck", False, ["stuck"]), ("endless", True, [])):
            with Client(url, assistant) as client:
                run_id = client.start(assistant, {"answers": []})
                with client.stream(channels=["tasks", "values"]) as response:
                    next(event for event in events(response) if event["method"] in {"tasks", "values"})
                    assert assistant != "stuck" or entered.wait(PATIENCE)
                told = client.post(f"runs/{run_id}/cancel?wait=1", {})
                assert (told.status_code, told.json()) == (200, {"stopped": stopped, "running": running})
        gate.set()


def test_whoever_waits_for_a_stubborn_run_is_told_in_time() -> None:
    """After the time that runs are given to end. On asyncio nothing can shield itself from how runs are stopped."""
    gate = threading.Event()

    async def stubborn(_: Any, writer: Any) -> Any:
        await writer.values({})
        with anyio.CancelScope(shield=True):
            await until(gate.is_set)

    with (
        serving("hypercorn-trio", app({"stubborn": stubborn}, limits=Limits(shutdown=0.3))) as url,
        Client(url) as client,
    ):
        run_id = client.start("stubborn")
        with client.stream(channels=["values"]) as response:
            next(events(response))
        told = client.post(f"runs/{run_id}/cancel?wait=1", {})
        assert told.json()["stopped"] is False
        gate.set()


@pytest.mark.parametrize("server", SERVERS)
def test_malformed_origins_and_hostile_names(server: str, caplog: pytest.LogCaptureFixture) -> None:
    """Are the client's mistake, over HTTP and WebSocket, and leave no line of their own in the log."""
    caplog.set_level(logging.DEBUG)
    with serving(server, app(ASSISTANTS)) as url, Client(url) as client:
        for origin in ("http://[::1", "http://a:b", "localhost"):
            assert client.post("commands", {}, origin=origin).status_code == 400
            with pytest.raises(InvalidStatus) as caught, client.socket(Origin=origin):
                pass
            assert caught.value.response.status_code == 400
        for hostile in ("a%0aERROR:forged", "a%0d%0aERROR:forged", "a%1b[2J", "a%e2%80%a8b", "a%00b"):
            agent = {"user-agent": "x\tERROR:forged"}
            assert client.http.get(f"/threads/{hostile}/state", headers=agent).status_code == 400
            assert client.http.post(f"/threads/t/runs/{hostile}/cancel").status_code == 404
            assert client.http.get(f"/assistants/{hostile}/graph").status_code == 404
        client.start("everything")
        assert root_event(client.ended()[-1]) == "completed"
    ours = [record for record in caplog.records if record.name.startswith("anyiostream")]
    assert all(record.getMessage().isprintable() for record in ours)
