"""Builders of stream parts, for graphs that are generator functions.

```python
def countdown(n):
    for i in range(n, 0, -1):
        yield parts.values({"left": i})
```

Each returns a `StreamPart`; `ns` is the namespace it is produced at, `()` for the graph's own level. A graph that
is an `async def` gets the same as methods of its writer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from anyiostream.events import Namespace, StreamPart

__all__ = ["checkpoints", "custom", "debug", "messages", "task_result", "task_start", "tools", "updates", "values"]


def values(state: Any, *, interrupts: Iterable[Any] = (), ns: Namespace = ()) -> StreamPart:
    """A snapshot of the whole state; with `interrupts`, one at which the graph waits for its user."""
    return {"type": "values", "ns": ns, "data": state, "interrupts": tuple(interrupts)}


def updates(update: Mapping[str, Any], *, ns: Namespace = ()) -> StreamPart:
    """What one step changed: node name -> that node's update."""
    return {"type": "updates", "ns": ns, "data": update}


def custom(data: Any, *, ns: Namespace = ()) -> StreamPart:
    """Anything the graph wants its readers to see."""
    return {"type": "custom", "ns": ns, "data": data}


def checkpoints(checkpoint: Mapping[str, Any], *, ns: Namespace = ()) -> StreamPart:
    """A saved checkpoint, in the format of `get_state()`."""
    return {"type": "checkpoints", "ns": ns, "data": checkpoint}


def debug(data: Any, *, ns: Namespace = ()) -> StreamPart:
    """Detail about a step."""
    return {"type": "debug", "ns": ns, "data": data}


def messages(payload: Any, metadata: Mapping[str, Any] | None = None, *, ns: Namespace = ()) -> StreamPart:
    """One event of a model call, a message chunk, or a whole message; `metadata["run_id"]` tells the call."""
    return {"type": "messages", "ns": ns, "data": (payload, {} if metadata is None else metadata)}


def tools(data: Mapping[str, Any], *, ns: Namespace = ()) -> StreamPart:
    """One event of a tool call: `tool-started`, `tool-output-delta`, `tool-finished` or `tool-error`."""
    return {"type": "tools", "ns": ns, "data": data}


def task_start(
    task_id: str,
    name: str,
    *,
    input: Any = None,  # noqa: A002 -- the key of the payload
    triggers: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None,
    ns: Namespace = (),
) -> StreamPart:
    """A task of the graph at `ns` starts. A subgraph that it runs has the namespace `(*ns, f"{name}:{task_id}")`."""
    data: dict[str, Any] = {"id": task_id, "name": name, "input": input, "triggers": list(triggers)}
    if metadata is not None:
        data["metadata"] = dict(metadata)
    return {"type": "tasks", "ns": ns, "data": data}


def task_result(
    task_id: str,
    name: str,
    *,
    result: Any = None,
    error: str | None = None,
    interrupts: Iterable[Any] = (),
    aborted: bool = False,
    ns: Namespace = (),
) -> StreamPart:
    """A task of the graph at `ns` has ended, and any subgraph that it ran with it."""
    data = {"id": task_id, "name": name, "error": error, "result": result, "interrupts": list(interrupts)}
    if aborted:
        data["aborted"] = True
    return {"type": "tasks", "ns": ns, "data": data}
