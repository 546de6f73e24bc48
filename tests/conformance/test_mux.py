"""The mux: dispatch, the raw log, and its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from anyiostream import parts

from .adapter import Lab, Script, event


def collecting(lab: Lab, **overrides: Callable[..., Any]) -> Any:
    """A transformer that notes what it is called with, as `seen`; keyword arguments are further hooks."""

    class Collecting(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
        def __init__(self, scope: tuple[str, ...] = ()) -> None:
            super().__init__(scope)
            self.seen: list[Any] = []

        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            self.seen.append(event["params"]["data"])
            return True

        def finalize(self) -> None:
            self.seen.append("finalize")

        def fail(self, err: BaseException) -> None:
            self.seen.append(err)

    return type("Collecting", (Collecting,), overrides)()


async def test_init_returns_no_dict(lab: Lab) -> None:
    """(24) A transformer whose `init` returns no dict is a TypeError."""
    with pytest.raises(TypeError, match="must return a dict"):
        lab.mux([collecting(lab, init=lambda self: [("key", 1)])])


async def test_suppression(lab: Lab) -> None:
    """(25) An event for which `process` returns False is kept out of the raw log."""
    mux = lab.mux([collecting(lab, process=lambda self, event: event["params"]["data"] != "secret")])
    log = lab.reader(lab.log(mux))
    await lab.push(mux, event("custom", "a"), event("custom", "secret"), event("custom", "b"))
    await lab.close(mux)
    assert [each["params"]["data"] for each in await log.rest()] == ["a", "b"]


async def test_suppressed_events_are_seen_by_later_transformers(lab: Lab) -> None:
    """(26) A suppressed event still reaches the transformers that come after."""
    later = collecting(lab)
    mux = lab.mux([collecting(lab, process=lambda self, event: False), later])
    await lab.push(mux, event("custom", "a"))
    assert later.seen == ["a"]


async def test_mux_without_transformers(lab: Lab) -> None:
    """(27) A mux without transformers passes events through to its raw log."""
    mux = lab.mux()
    log = lab.reader(lab.log(mux))
    pushed = [event("values", 1), event("anything", 2, ns=("a:1",))]
    await lab.push(mux, *pushed)
    await lab.close(mux)
    assert await log.rest() == pushed


async def test_fail_on_an_empty_mux(lab: Lab) -> None:
    """(28) An error that ends a mux without transformers surfaces on its raw log, after its events."""
    mux = lab.mux()
    log = lab.reader(lab.log(mux))
    error = LookupError("broken")
    await lab.push(mux, event("values", 1))
    await lab.fail(mux, error)
    events, raised = await log.outcome()
    assert len(events) == 1
    assert raised is error


async def test_finalize_error_after_the_others(lab: Lab) -> None:
    """(29) The error of a `finalize` is re-raised by closing the mux, after all others have been finalised."""
    error = LookupError("finalize")

    def finalize(self: Any) -> None:
        raise error

    later = collecting(lab)
    mux = lab.mux([collecting(lab, finalize=finalize), later])
    with pytest.raises(LookupError) as caught:
        await lab.close(mux)
    assert caught.value is error
    assert later.seen == ["finalize"]


async def test_finalize_error_closes_everything(lab: Lab) -> None:
    """(30) After a `finalize` that raises, channels and raw log have ended; as a deviation ours end with the error."""

    def finalize(self: Any) -> None:
        raise LookupError("finalize")

    channel = lab.api.StreamChannel()
    mux = lab.mux([lab.holder(items=channel), collecting(lab, finalize=finalize)])
    readers = [lab.reader(channel), lab.reader(lab.log(mux))]
    channel.push("a")
    await lab.push(mux, event("custom", "b"))
    with pytest.raises(LookupError):
        await lab.close(mux)
    for reader in readers:
        items, raised = await reader.outcome()
        assert len(items) == 1
        # Deviation: a transformer's error fails the run for every reader, in theirs for the one that pumps.
        assert isinstance(raised, LookupError) if lab.ours else raised is None


async def test_fail_hook_error_is_swallowed(lab: Lab) -> None:
    """(31) The error of a `fail` hook is swallowed, and the other hooks and readers still get the original error."""
    error = LookupError("original")

    def fail(self: Any, err: BaseException) -> None:
        raise ValueError("hook")

    later = collecting(lab)
    mux = lab.mux([collecting(lab, fail=fail), later])
    log = lab.reader(lab.log(mux))
    await lab.fail(mux, error)
    assert later.seen == [error]
    assert (await log.outcome())[1] is error


async def test_channels_are_closed(lab: Lab) -> None:
    """(32) Closing the mux closes the channels of its transformers."""
    mux, channel = lab.channel()
    reader = lab.reader(channel)
    channel.push("a")
    await lab.close(mux)
    with pytest.raises(RuntimeError, match="Cannot push to a closed"):
        channel.push("late")
    assert await reader.rest() == ["a"]


async def test_channels_are_failed(lab: Lab) -> None:
    """(33) Failing the mux fails the channels of its transformers with the same error."""
    mux, channel = lab.channel()
    reader = lab.reader(channel)
    error = LookupError("broken")
    channel.push("a")
    await lab.fail(mux, error)
    items, raised = await reader.outcome()
    assert items == ["a"]
    assert raised is error


@pytest.mark.parametrize("well", [True, False])
async def test_transformer_closes_its_own_channel(lab: Lab, well: bool) -> None:
    """(34) A transformer may close its channel itself; the end of the mux does not change that channel's end."""
    channel = lab.api.StreamChannel()

    def process(self: Any, event: Any) -> bool:
        if event["params"]["data"] == "enough":
            channel.close()
        else:
            channel.push(event["params"]["data"])
        return True

    mux = lab.mux([collecting(lab, init=lambda self: {"items": channel}, process=process)])
    reader = lab.reader(channel)
    await lab.push(mux, event("custom", "a"), event("custom", "enough"))
    await (lab.close(mux) if well else lab.fail(mux, LookupError("broken")))
    assert await reader.outcome() == (["a"], None)


async def test_projection_conflict(lab: Lab) -> None:
    """(35) Two transformers that claim one key are a ValueError that names the key and its owner."""
    first = type("Weather", (type(lab.holder()),), {"init": lambda self: {"forecast": 1}})()
    with pytest.raises(ValueError, match=r"'forecast'.*Weather"):
        lab.mux([first, lab.holder(forecast=2)])


def scoring(lab: Lab, *, native: bool) -> type:
    """A transformer that forwards twice per `values` event by way of a named channel."""

    class Scoring(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
        _native = native

        def init(self) -> dict[str, Any]:
            self.scores = lab.api.StreamChannel("scores")
            return {"scores": self.scores}

        def process(self, event: Any) -> bool:
            if event["method"] == "values":
                n = event["params"]["data"]["n"]
                self.scores.push(n)
                self.scores.push(-n)
            return True

    return Scoring


async def test_seq(lab: Lab) -> None:
    """(36) `seq` rises strictly on the root log, also over what is forwarded in the middle of the pipeline."""
    script = [
        parts.values({"n": 1}),
        parts.custom("x"),
        parts.task_start("1", "sub", ns=("sub:1",)),
        parts.values({"n": 2}),
    ]
    async with lab.open(script, transformers=[scoring(lab, native=False)]) as run:
        events = await lab.items(run)
    assert [each["seq"] for each in events] == list(range(1, len(events) + 1))
    assert [each["method"] for each in events].count("custom:scores") == 4


async def test_forwarded_event_comes_first(lab: Lab) -> None:
    """(37) A forwarded event precedes the event that caused it."""
    async with lab.open(
        [parts.values({"n": 1}), parts.values({"n": 2})], transformers=[scoring(lab, native=False)]
    ) as run:
        order = [(each["method"], each["params"]["data"]) for each in await lab.items(run)]
    assert order == [
        ("custom:scores", 1),
        ("custom:scores", -1),
        ("values", {"n": 1}),
        ("custom:scores", 2),
        ("custom:scores", -2),
        ("values", {"n": 2}),
    ]


@pytest.mark.parametrize("native", [True, False])
async def test_forwarded_method(lab: Lab, native: bool) -> None:
    """(38) A named channel's events are called `custom:<name>`, a native transformer's `<name>`."""
    async with lab.open([parts.values({"n": 1})], transformers=[scoring(lab, native=native)]) as run:
        methods = [each["method"] for each in await lab.items(run)]
    assert methods[:2] == ["scores" if native else "custom:scores"] * 2


async def test_forwarded_namespace(lab: Lab) -> None:
    """(38) As a deviation, ours give a forwarded event the namespace of the event that caused it, theirs none."""

    class Echo(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
        def init(self) -> dict[str, Any]:
            self.echo = lab.api.StreamChannel("echo")
            return {"echo": self.echo}

        def process(self, event: Any) -> bool:
            if not self.scope:
                self.echo.push(event["params"]["data"])
            return True

    async with lab.open([parts.values(1), parts.values(2, ns=("sub:1",))], transformers=[Echo]) as run:
        forwarded = [each for each in await lab.items(run) if each["method"] == "custom:echo"]
    # Deviation: namespaces of forwards.
    assert [each["params"]["namespace"] for each in forwarded] == [[], ["sub:1"] if lab.ours else []]


async def test_instances_are_not_cloned(lab: Lab) -> None:
    """(39) A mux made from instances cannot make a child: asking for one is a RuntimeError, and no handle appears."""
    mux = lab.mux([lab.api.SubgraphTransformer()])
    with pytest.raises(RuntimeError, match="transformers"):
        lab.make_child(mux, ("sub:1",))
    handles = lab.reader(mux.extensions["subgraphs"])
    await lab.push(mux, event("tasks", parts.task_start("2", "inner")["data"], ns=("sub:1",)))
    await lab.close(mux)
    assert await handles.rest() == []


async def test_factories_are_cloned(lab: Lab) -> None:
    """(39) A mux made from factories shows a handle for each subgraph, with transformers of its own."""
    mux = lab.mux(factories=[lab.api.ValuesTransformer, lab.api.SubgraphTransformer])
    handles = lab.reader(mux.extensions["subgraphs"])
    await lab.push(mux, event("tasks", parts.task_start("2", "inner")["data"], ns=("sub:1",)))
    handle = await handles.next()
    values = lab.reader(handle.values)
    await lab.push(mux, event("values", {"n": 1}, ns=("sub:1",)), event("values", {"n": 2}))
    await lab.close(mux)
    assert await values.rest() == [{"n": 1}]
    assert await handles.rest() == []


async def test_source_is_closed_once(lab: Lab) -> None:
    """(28, 32) A run that is read to its end has pulled every part, and its source has been closed once."""
    script = Script([parts.values({"n": n}) for n in range(5)])
    async with lab.open(script) as run:
        assert len(await lab.items(run.values)) == 5
    assert (script.pulled, script.closed) == (5, 1)
