"""Builders of stream parts, for graphs that are generator functions.

```python
def countdown(n):
    for i in range(n, 0, -1):
        yield parts.values({"left": i})
```

Each returns a `StreamPart`; `ns` is the namespace it is produced at, `()` for the graph's own level. A graph that
is an `async def` gets the same as methods of its writer. Those whose names end with `_block`, and `tool_call_chunk`,
return a content block, for `block_start` and `block_finish`.

There is none for `lifecycle` events: graphs do not produce them. The run makes them of its tasks, `task_start` and
`task_result`, and no transformer is given them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from anyiostream.events import Namespace, StreamPart

__all__ = [
    "block_finish",
    "block_start",
    "checkpoints",
    "custom",
    "debug",
    "invalid_tool_call_block",
    "message_error",
    "message_finish",
    "message_start",
    "messages",
    "non_standard_block",
    "reasoning_block",
    "reasoning_delta",
    "server_tool_call_block",
    "server_tool_result_block",
    "task_result",
    "task_start",
    "text_block",
    "text_delta",
    "tool_call_block",
    "tool_call_chunk",
    "tool_call_delta",
    "tool_error",
    "tool_finished",
    "tool_output_delta",
    "tool_started",
    "tools",
    "updates",
    "values",
]


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


def message_start(
    message_id: str, *, node: str | None = None, metadata: Mapping[str, Any] | None = None, ns: Namespace = ()
) -> StreamPart:
    """A model call begins; what follows of it names the same id.

    ```python
    from anyiostream import open_run, parts

    graph = [
        parts.message_start("m1"),
        parts.block_start("m1", parts.text_block()),
        parts.text_delta("m1", "At "),
        parts.text_delta("m1", "six."),
        parts.block_finish("m1", parts.text_block("At six.")),
        parts.message_finish("m1", usage={"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}),
    ]
    with open_run(graph) as run:
        (message,) = run.messages
        assert list(message.text) == ["At ", "six."]
    ```

    Args:
        message_id: Tells the calls of a stream apart.
        node: The node that makes it.
        metadata: What is known of the model: `{"provider": ..., "model": ...}`.
        ns: The namespace.
    """
    event = {"event": "message-start", "role": "ai", "id": message_id, "metadata": dict(metadata or {})}
    return messages(event, {"run_id": message_id, "langgraph_node": node}, ns=ns)


def block_start(message_id: str, content: Mapping[str, Any], *, index: int = 0, ns: Namespace = ()) -> StreamPart:
    """A block begins: `text_block()`, `reasoning_block()`, or `tool_call_chunk("c1", "search")`."""
    return _of(message_id, ns, "content-block-start", index=index, content=content)


def text_delta(message_id: str, text: str, *, index: int = 0, ns: Namespace = ()) -> StreamPart:
    """A piece of text."""
    return _of(message_id, ns, "content-block-delta", index=index, delta={"type": "text-delta", "text": text})


def reasoning_delta(message_id: str, reasoning: str, *, index: int = 0, ns: Namespace = ()) -> StreamPart:
    """A piece of reasoning."""
    delta = {"type": "reasoning-delta", "reasoning": reasoning}
    return _of(message_id, ns, "content-block-delta", index=index, delta=delta)


def tool_call_delta(message_id: str, args: str, *, index: int = 0, ns: Namespace = ()) -> StreamPart:
    """A piece of a tool call's arguments, which are JSON."""
    return _of(message_id, ns, "content-block-delta", index=index, delta={"type": "tool-call-delta", "args": args})


def block_finish(message_id: str, content: Mapping[str, Any], *, index: int = 0, ns: Namespace = ()) -> StreamPart:
    """All of a content block: `text_block("At six.")`, `tool_call_block("c1", "search", {"q": "tides"})`."""
    return _of(message_id, ns, "content-block-finish", index=index, content=content)


def text_block(text: str = "") -> dict[str, Any]:
    """Text; without any where the block begins.

    ```python
    assert parts.text_block("At six.") == {"type": "text", "text": "At six."}
    ```
    """
    return {"type": "text", "text": text}


def reasoning_block(reasoning: str = "") -> dict[str, Any]:
    """Reasoning; without any where the block begins.

    ```python
    assert parts.reasoning_block("Hm.") == {"type": "reasoning", "reasoning": "Hm."}
    ```
    """
    return {"type": "reasoning", "reasoning": reasoning}


def tool_call_chunk(tool_call_id: str | None, name: str | None, args: str = "") -> dict[str, Any]:
    """A tool call that begins, with the first piece of its arguments, which are JSON. What is not known yet is `None`.

    ```python
    from anyiostream import open_run, parts

    graph = [
        parts.message_start("m1"),
        parts.block_start("m1", parts.tool_call_chunk("c1", "search")),
        parts.tool_call_delta("m1", '{"q": "tides"}'),
        parts.block_finish("m1", parts.tool_call_block("c1", "search", {"q": "tides"})),
        parts.message_finish("m1"),
    ]
    with open_run(graph) as run:
        (message,) = run.messages
        assert message.output.tool_calls[0]["args"] == {"q": "tides"}
    ```
    """
    return {"type": "tool_call_chunk", "id": tool_call_id, "name": name, "args": args}


def tool_call_block(tool_call_id: str, name: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """A whole tool call.

    ```python
    block = parts.tool_call_block("c1", "search", {"q": "tides"})
    assert block == {"type": "tool_call", "id": "c1", "name": "search", "args": {"q": "tides"}}
    ```
    """
    return {"type": "tool_call", "id": tool_call_id, "name": name, "args": dict(args)}


def invalid_tool_call_block(tool_call_id: str, name: str, args: str, error: str) -> dict[str, Any]:
    """A tool call whose arguments are no JSON object.

    ```python
    block = parts.invalid_tool_call_block("c1", "search", "{", "it breaks off")
    assert (block["type"], block["args"], block["error"]) == ("invalid_tool_call", "{", "it breaks off")
    ```
    """
    return {"type": "invalid_tool_call", "id": tool_call_id, "name": name, "args": args, "error": error}


def server_tool_call_block(tool_call_id: str, name: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """A call of a tool that the provider runs itself.

    ```python
    block = parts.server_tool_call_block("s1", "web", {"q": "tides"})
    assert block == {"type": "server_tool_call", "id": "s1", "name": "web", "args": {"q": "tides"}}
    ```
    """
    return {"type": "server_tool_call", "id": tool_call_id, "name": name, "args": dict(args)}


def server_tool_result_block(tool_call_id: str, output: Any) -> dict[str, Any]:
    """What came of it.

    ```python
    block = parts.server_tool_result_block("s1", ["a page"])
    assert block == {"type": "server_tool_result", "tool_call_id": "s1", "output": ["a page"]}
    ```
    """
    return {"type": "server_tool_result", "tool_call_id": tool_call_id, "output": output}


def non_standard_block(value: Any) -> dict[str, Any]:
    """What only its provider knows.

    ```python
    assert parts.non_standard_block({"x": 1}) == {"type": "non_standard", "value": {"x": 1}}
    ```
    """
    return {"type": "non_standard", "value": value}


def message_finish(message_id: str, *, usage: Mapping[str, int] | None = None, ns: Namespace = ()) -> StreamPart:
    """A model call has ended well."""
    return _of(message_id, ns, "message-finish", **({} if usage is None else {"usage": dict(usage)}))


def message_error(message_id: str, message: str, *, ns: Namespace = ()) -> StreamPart:
    """A model call has failed."""
    return _of(message_id, ns, "error", message=message)


def _of(message_id: str, ns: Namespace, event: str, **fields: Any) -> StreamPart:
    return messages({"event": event, **fields}, {"run_id": message_id}, ns=ns)


def tool_started(
    tool_call_id: str,
    name: str,
    input: Any = None,  # noqa: A002 -- the key of the payload
    *,
    ns: Namespace = (),
) -> StreamPart:
    """A tool has been called.

    ```python
    from anyiostream import ToolCallTransformer, open_run, parts

    graph = [
        parts.tool_started("1", "search", {"q": "tides"}),
        parts.tool_output_delta("1", "one page"),
        parts.tool_finished("1", ["one page"]),
        parts.tool_started("2", "search"),
        parts.tool_error("2", "no index"),
    ]
    with open_run(graph, transformers=[ToolCallTransformer]) as run:
        found, failed = run.tool_calls  # both have ended when the run has
    assert (found.status, found.output) == ("completed", ["one page"])
    assert (failed.status, failed.error) == ("failed", "no index")
    ```
    """
    return tools({"event": "tool-started", "tool_call_id": tool_call_id, "tool_name": name, "input": input}, ns=ns)


def tool_output_delta(tool_call_id: str, delta: Any, *, ns: Namespace = ()) -> StreamPart:
    """A tool has put something out."""
    return tools({"event": "tool-output-delta", "tool_call_id": tool_call_id, "delta": delta}, ns=ns)


def tool_finished(tool_call_id: str, output: Any, *, ns: Namespace = ()) -> StreamPart:
    """A tool has returned."""
    return tools({"event": "tool-finished", "tool_call_id": tool_call_id, "output": output}, ns=ns)


def tool_error(tool_call_id: str, message: str, *, ns: Namespace = ()) -> StreamPart:
    """A tool has failed."""
    return tools({"event": "tool-error", "tool_call_id": tool_call_id, "message": message}, ns=ns)


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
