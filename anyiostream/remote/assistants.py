"""`Assistant`: a graph that clients may run, and what its kind decides: how it is resumed, and how it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final, final

import attrs

from anyiostream.remote.commands import InputRespond
from anyiostream.remote.refusals import Refusal
from anyiostream.sources.opening import is_langgraph
from anyiostream.transformer import TransformerFactory

__all__ = ["Assistant", "Resumption", "RunContext", "run_context"]


@final
@attrs.frozen
class Resumption:
    """The input of a function graph that goes on after an interrupt.

    Attributes:
        answers: Interrupt's id -> what the user said.
        values: The last snapshot of the interrupted run.
        config: What the client sent along.
    """

    answers: Mapping[str, Any]
    values: Any = None
    config: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def answer(self) -> Any:
        """What the user said, where there was one interrupt.

        Raises:
            ValueError: There was more than one.
        """
        (answer,) = self.answers.values()
        return answer


@final
@attrs.frozen
class RunContext:
    """Which run a graph is called for.

    Attributes:
        thread_id: The thread.
        run_id: The run.
        owner: Who owns the thread, as the `authorize` hook has it.
        config: The run's configuration.
    """

    thread_id: str
    run_id: str
    owner: str
    config: Mapping[str, Any]


run_context: Final[ContextVar[RunContext]] = ContextVar("anyiostream_remote_run_context")
"""Set while a graph runs for a client: function graphs, which take no configuration, read it here."""


@final
@attrs.frozen(kw_only=True)
class Assistant:
    """A graph that clients may run.

    Attributes:
        graph: Whatever `open_run` takes. An iterable can be run once only; a function of the same, any number of times.
        transformers: For its runs; their named channels are `custom:<name>` to clients.
        config: LangGraph's configuration, over which a caller's goes.
        options: Further arguments of `open_run`: `context`, `interrupt_before`, ...
    """

    graph: Any
    transformers: Sequence[TransformerFactory] = ()
    config: Mapping[str, Any] = attrs.field(factory=dict)
    options: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def takes_config(self) -> bool:
        """Whether it is a LangGraph graph."""
        return is_langgraph(self.graph)

    def run_config(self, given: Mapping[str, Any], context: RunContext) -> dict[str, Any]:
        """The configuration of a run."""
        config = {**self.config, **given}
        config["configurable"] = {
            **self.config.get("configurable", {}),
            **given.get("configurable", {}),
            "thread_id": context.thread_id,
        }
        config["metadata"] = {
            **self.config.get("metadata", {}),
            **given.get("metadata", {}),
            "thread_id": context.thread_id,
            "run_id": context.run_id,
        }
        return config

    def resumed_with_input(self, given: Any, interrupts: Sequence[str], values: Any) -> Any:
        """The input with which an interrupted run goes on, where the client has sent one as for a new run."""
        if self.takes_config:
            from langgraph.types import Command  # noqa: PLC0415 -- an extra

            return Command(resume=given)
        return Resumption(dict.fromkeys(interrupts, given), values)

    def resumed_with_answers(self, respond: InputRespond, values: Any) -> Any:
        """The input with which an interrupted run goes on after answers.

        Raises:
            Refusal: Only LangGraph graphs can be updated or sent elsewhere.
        """
        answers = {answer.interrupt_id: answer.response for answer in respond.answers}
        if self.takes_config:
            from langgraph.types import Command  # noqa: PLC0415 -- an extra

            return Command(resume=answers, update=respond.update, goto=_goals(respond.goto))
        if respond.update is not None or respond.goto is not None:
            raise Refusal("not_supported", "this graph takes answers only, no `update` and no `goto`.")
        return Resumption(answers, values, respond.config)

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
