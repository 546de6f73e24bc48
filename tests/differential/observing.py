"""What can be observed of a run, as plain data that two runs of one graph have in common.

Two runs mint different task, checkpoint and interrupt ids; they are told apart by their order of appearance. Clock
times are left out. So are the namespaces of events that a channel forwards: there the libraries differ on purpose.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs

from anyiostream import SubgraphFailed

from ..conformance.adapter import Lab
from .graphs import Built

__all__ = ["Normal", "asked", "children", "drill", "identity", "survey"]

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z)?")


class Normal:
    """Makes observations comparable. One per observation, since ids are numbered as they appear."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def of(self, value: Any) -> Any:
        """`value` with ids replaced and times left out."""
        if isinstance(value, str):
            return TIME.sub("<time>", ID.sub(self._number, value))
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, Mapping):
            return {self.of(key): self.of(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.of(each) for each in value]
        if isinstance(value, (set, frozenset)):
            return sorted(map(repr, value))
        if isinstance(value, SubgraphFailed):
            # The original's counterpart is a plain RuntimeError.
            return ["RuntimeError", self.of(str(value))]
        if isinstance(value, BaseException):
            return [type(value).__name__, self.of(str(value))]
        if hasattr(type(value), "__dataclass_fields__") or attrs.has(type(value)):
            fields = getattr(value, "__dict__", None) or {name: getattr(value, name) for name in value.__slots__}
            return [type(value).__name__, self.of(fields)]
        return [type(value).__name__, self.of(repr(value))]

    def events(self, outcome: tuple[list[Any], Exception | None]) -> Any:
        """Events of a raw log, and how it ended."""
        events, error = outcome
        return [[self._event(each) for each in events], self.of(error)]

    def _event(self, event: Mapping[str, Any]) -> Any:
        params = {key: value for key, value in event["params"].items() if key != "timestamp"}
        if event["method"] == "lifecycle" or event["method"].startswith("custom:"):
            del params["namespace"]
        return self.of({**event, "params": params})

    def _number(self, match: re.Match[str]) -> str:
        return self._ids.setdefault(match[0], f"<id {len(self._ids) + 1}>")


async def survey(lab: Lab, built: Built) -> list[dict[str, Any]]:
    """For each run of the thread: the root's projections, by cursors that are opened first and read afterwards."""
    normal = Normal()
    observed = []
    for given in built.given:
        async with lab.open_graph(built.graph, given, **_call(lab, built)) as run:
            names = ["values", "lifecycle", *(name.removesuffix("Transformer").lower() for name in built.transformers)]
            readers = {name: lab.reader(run.extensions[name]) for name in names}
            log, handles = lab.reader(run), lab.reader(run.subgraphs)
            output = await asked(lab.output(run))
            observed.append(
                {
                    "raw log": normal.events(await log.outcome()),
                    "output": normal.of(output),
                    "interrupted": normal.of(await asked(lab.interrupted(run))),
                    "interrupts": normal.of(await asked(lab.interrupts(run))),
                    "subgraphs": [identity(normal, handle) for handle in (await handles.outcome())[0]],
                    **{name: normal.of(await reader.outcome()) for name, reader in readers.items()},
                }
            )
    return observed


async def drill(lab: Lab, built: Built) -> list[Any]:
    """For each run of the thread: the tree of subgraphs, each read while it runs, in the body of its parent's loop."""
    normal = Normal()
    observed = []
    for given in built.given:
        async with lab.open_graph(built.graph, given, **_call(lab, built)) as run:
            tree = await children(lab, normal, run, _child)
            observed.append([tree, normal.of(await asked(lab.output(run)))])
    return observed


def _call(lab: Lab, built: Built) -> dict[str, Any]:
    transformers = [getattr(lab.api, name) for name in built.transformers]
    return {"config": built.config, "transformers": transformers, **built.options}


async def children(lab: Lab, normal: Normal, run: Any, child: Callable[[Lab, Normal, Any], Awaitable[Any]]) -> Any:
    """What `child` observes of each subgraph, in order, and how they ended."""
    handles = lab.reader(run.subgraphs)
    found = []
    while True:
        try:
            handle = await handles.next()
        except StopAsyncIteration:
            return [found, None]
        except Exception as exc:
            return [found, normal.of(exc)]
        found.append(await child(lab, normal, handle))


async def _child(lab: Lab, normal: Normal, handle: Any) -> Any:
    values, lifecycle, log = (lab.reader(each) for each in (handle.values, handle.lifecycle, handle))
    below = await children(lab, normal, handle, _child)
    output = normal.of(await asked(lab.output(handle)))
    return {
        **identity(normal, handle),
        "raw log": normal.events(await log.outcome()),
        "values": normal.of(await values.outcome()),
        "lifecycle": normal.of(await lifecycle.outcome()),
        "output": output,
        "interrupted": normal.of(await asked(lab.interrupted(handle))),
        "subgraphs": below,
    }


def identity(normal: Normal, handle: Any) -> dict[str, Any]:
    """What a handle says of itself."""
    names = ("path", "graph_name", "trigger_call_id", "status", "error")
    return {name: normal.of(getattr(handle, name)) for name in names}


async def asked(awaitable: Any) -> Any:
    """What it gives, or raises."""
    try:
        return await awaitable
    except Exception as exc:
        return exc
