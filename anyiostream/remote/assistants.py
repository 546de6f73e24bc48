"""`Assistant`: a graph that clients may run, and what its kind decides: how it is resumed, and how it is drawn."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final, Literal, final

import attrs

from anyiostream import Resumption, TransformerFactory
from anyiostream.remote.commands import SERVERS_OWN, InputRespond
from anyiostream.remote.identity import checkpoint_thread
from anyiostream.remote.limits import Limits
from anyiostream.remote.refusals import Refusal
from anyiostream.tooling import is_langgraph, still_running, threaded_nodes

__all__ = ["Assistant", "RunContext", "Steering", "run_context"]

Steering = Literal["update", "goto"]
"""What an answer may do besides answering: `update` the state, or make the graph `goto` other nodes."""

CEILINGS: Final = ("recursion_limit", "max_concurrency")
"""A caller may ask for less of these than the server allows."""


@final
@attrs.frozen
class RunContext:
    """The run that a graph is called for.

    Attributes:
        thread_id: The thread, as its client calls it.
        run_id: The run.
        owner: Who owns the thread, as the `authorize` hook has it; `""` without one.
        config: The run's configuration.
        checkpoint_thread: The thread, as the checkpointer calls it: the `thread_id` of a LangGraph graph's
            configuration. By default `thread_id` for the owner `""`, otherwise `owner/thread_id`.
    """

    thread_id: str
    run_id: str
    owner: str
    config: Mapping[str, Any]
    checkpoint_thread: str = attrs.field(
        default=attrs.Factory(lambda self: checkpoint_thread(self.owner, self.thread_id), takes_self=True)
    )


run_context: Final[ContextVar[RunContext]] = ContextVar("anyiostream_remote_run_context")
"""Set while a graph runs for a client: function graphs, which take no configuration, read it here."""


def _check_options(_: Assistant, __: attrs.Attribute[Any], options: Mapping[str, Any]) -> None:
    if "control" in options:
        raise ValueError(
            "an assistant's options cannot have a `control`: all its runs would share it, and whoever drains one of "
            "theirs would drain everybody's. The server gives each run one of its own."
        )


@final
@attrs.frozen(kw_only=True)
class Assistant:
    """A graph that clients may run.

    Attributes:
        graph: Whatever `open_run` takes. An iterable can be run once only; a function of the same, any number of times.
        transformers: For its runs; their named channels are `custom:<name>` to clients.
        config: LangGraph's configuration. A caller may not override what it sets, except to ask for a smaller
            `recursion_limit` or `max_concurrency`.
        options: Further arguments of `open_run`: `context`, `interrupt_before`, ... No `control`: each run has its own.
        configurable: What a caller may set in the configuration's `configurable`, even if `config` has it; by default
            whatever `config` does not have.
        on_crash: What happens to a run whose server dies, if the server's store outlives it, but the graph keeps no
            checkpoints that do: it fails, or is called with its input once more, side effects included.
        shared_checkpoints: Whether all servers of a deployment use its checkpointer, if that cannot be detected: a file
            that they share. Servers that share a store refuse others.
        steering: What an answer to an interrupt may do besides answering: `"update"` the state, make the graph `"goto"`
            other nodes, or both; by default neither.

    Raises:
        ValueError: `options` has a `control`.
    """

    graph: Any
    transformers: Sequence[TransformerFactory] = ()
    config: Mapping[str, Any] = attrs.field(factory=dict)
    options: Mapping[str, Any] = attrs.field(factory=dict, validator=_check_options)
    configurable: Collection[str] | None = None
    steering: Collection[Steering] = ()
    on_crash: Literal["fail", "restart"] = "fail"
    shared_checkpoints: bool = False

    @property
    def keeps_checkpoints(self) -> bool:
        """Whether it is a LangGraph graph whose checkpoints outlive the process."""
        if not self.takes_config:
            return False
        from langgraph.checkpoint.base import BaseCheckpointSaver  # noqa: PLC0415 -- an extra
        from langgraph.checkpoint.memory import InMemorySaver  # noqa: PLC0415 -- likewise

        saver = self.graph.checkpointer
        return isinstance(saver, BaseCheckpointSaver) and not isinstance(saver, InMemorySaver)

    @property
    def not_asynchronous(self) -> str | None:
        """The checkpointer's class, if it has no asynchronous methods; else `None`."""
        if not self.takes_config:
            return None
        from langgraph.checkpoint.base import BaseCheckpointSaver  # noqa: PLC0415 -- an extra

        kind = type(self.graph.checkpointer)
        if not issubclass(kind, BaseCheckpointSaver):
            return None
        # `SqliteSaver` overrides them, to say that it has none.
        lacks = kind.aget_tuple is BaseCheckpointSaver.aget_tuple or kind.__module__ == "langgraph.checkpoint.sqlite"
        return kind.__name__ if lacks else None

    @property
    def not_shared(self) -> str | None:
        """Why other servers cannot go on from its checkpoints; `None` if they can, or if it keeps none at all."""
        if not self.takes_config or not self.graph.checkpointer or self.shared_checkpoints:
            return None
        name = type(self.graph.checkpointer).__name__
        if not self.keeps_checkpoints:
            return f"{name} keeps checkpoints in this process"
        if "sqlite" in type(self.graph.checkpointer).__module__:
            return f"{name} keeps checkpoints in a file of this machine"
        return None

    @property
    def not_branching(self) -> str | None:
        """Why it cannot go back to what was said before; `None` if it can."""
        if not self.takes_config:
            return "is a function, which keeps no checkpoints"
        return None if self.graph.checkpointer else "has no checkpointer"

    @property
    def not_draining(self) -> str | None:
        """Why its runs cannot stop at the end of a step; `None` if they can."""
        graph = self.graph
        if self.takes_config or inspect.iscoroutinefunction(graph):
            return None
        # An agent of another framework is called like a function.
        if callable(graph) and inspect.iscoroutinefunction(type(graph).__call__) and getattr(graph, "drains", True):
            return None
        return "has no steps at whose end it could stop"

    @property
    def lost_with_process(self) -> str:
        """Why it cannot go on after the process has died."""
        if not self.takes_config:
            return "is a function, which keeps no checkpoints"
        saver = self.graph.checkpointer
        kind = f" ({type(saver).__name__})" if saver else ""
        return f"keeps no checkpoints that outlive the server{kind}"

    @property
    def takes_config(self) -> bool:
        """Whether it is a LangGraph graph."""
        return is_langgraph(self.graph)

    def check_config(self, given: Mapping[str, Any], limits: Limits) -> None:
        """Refuse a caller's configuration if it sets more than callers may set.

        Raises:
            Refusal: It does.
        """
        for name in given.get("configurable", {}):
            if name not in SERVERS_OWN and not self._may_set(name):
                raise Refusal("permission_denied", f"`config.configurable` may not set {name!r} here.")
        for name, most in zip(CEILINGS, (limits.recursion, limits.concurrency), strict=True):
            ceiling = self.config.get(name, most)
            if given.get(name, 0) > ceiling:
                raise Refusal("permission_denied", f"`config.{name}` must be at most {ceiling} here.")

    def run_config(self, given: Mapping[str, Any], context: RunContext) -> dict[str, Any]:
        """The configuration of a run, where a caller's has been checked: what the server sets is never replaced."""
        asked = {name: value for name, value in given.get("configurable", {}).items() if self._may_set(name)}
        config = {**given, **self.config}
        for name in CEILINGS:
            if name in given:
                config[name] = min(given[name], self.config.get(name, given[name]))
        if "tags" in given:
            config["tags"] = [*self.config.get("tags", []), *given["tags"]]
        config["configurable"] = {
            **self.config.get("configurable", {}),
            **asked,
            "thread_id": context.checkpoint_thread,
        }
        config["metadata"] = {
            **{name: value for name, value in given.get("metadata", {}).items() if name not in SERVERS_OWN},
            **self.config.get("metadata", {}),
            "thread_id": context.checkpoint_thread,
            "run_id": context.run_id,
        }
        return config

    def _may_set(self, name: str) -> bool:
        if name in SERVERS_OWN:
            return False
        if self.configurable is None:
            return name not in self.config.get("configurable", {})
        return name in self.configurable

    def resumed_with_input(self, given: Any, interrupts: Sequence[str], values: Any) -> Any:
        """The input with which an interrupted run goes on, where the client has sent one as for a new run."""
        if self.takes_config:
            from langgraph.types import Command  # noqa: PLC0415 -- an extra

            return Command(resume=given)
        return Resumption(dict.fromkeys(interrupts, given), values)

    def resumed_with_answers(self, respond: InputRespond, values: Any) -> Any:
        """The input with which an interrupted run goes on after answers.

        Raises:
            Refusal: It would update the state or send the graph elsewhere: that is not allowed, or it is no LangGraph
                graph.
        """
        for name in sorted(respond.steers):
            if self.takes_config and name not in self.steering:
                raise Refusal("permission_denied", f"an answer may have no `{name}` here.")
        answers = {answer.interrupt_id: answer.response for answer in respond.answers}
        if self.takes_config:
            from langgraph.types import Command  # noqa: PLC0415 -- an extra

            return Command(resume=answers, update=respond.update, goto=_goals(respond.goto))
        if respond.steers:
            raise Refusal("not_supported", "this graph takes answers only, not `update` or `goto`.")
        return Resumption(answers, values, respond.config)

    def left_running(self, tasks: Iterable[str]) -> list[str]:
        """Which nodes of an aborted run's open tasks run on: synchronous ones cannot be stopped."""
        if not self.takes_config:
            return []
        graphs = [self.graph, *dict(self.graph.get_subgraphs(recurse=True)).values()]
        nodes = {name: node for graph in graphs for name, node in threaded_nodes(graph).items()}
        return still_running({name: nodes[name] for name in tasks if name in nodes})

    def drawn(self, *, xray: int | bool) -> dict[str, Any]:
        """The graph's nodes and edges, for display; a function's is one node."""
        if self.takes_config:
            drawing = self.graph.get_graph(xray=xray).to_json()
            return {"nodes": _nodes(drawing["nodes"]), "edges": drawing["edges"]}
        name = getattr(self.graph, "__name__", type(self.graph).__name__)
        return {"nodes": [{"id": name, "type": "runnable", "data": {"name": name}}], "edges": []}


def _nodes(nodes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The nodes with their names; not with the modules and classes that implement them."""
    return [
        {
            "id": node["id"],
            "type": node.get("type", "runnable"),
            "data": {"name": name if isinstance(name := _name(node.get("data")), str) else node["id"]},
        }
        for node in nodes
    ]


def _name(data: Any) -> Any:
    return data.get("name") if isinstance(data, Mapping) else data


def _goals(goto: Any) -> Any:
    from langgraph.types import Send  # noqa: PLC0415 -- an extra

    goals = goto if isinstance(goto, list) else [] if goto is None else [goto]
    return [Send(goal["node"], goal.get("input")) if isinstance(goal, dict) else goal for goal in goals]
