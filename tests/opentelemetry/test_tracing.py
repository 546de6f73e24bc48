"""Spans of runs: their parents, attributes, ends, and what they keep to themselves."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import anyio
import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode, get_tracer

from anyiostream import GraphWriter, StreamTransformer, open_run, parts
from anyiostream.errors import MissingExtra
from anyiostream.opentelemetry import TracingTransformer
from examples.demo.script import QUESTION, ScriptedModel
from examples.demo.state_graph import compile_agent

from .conftest import Traced

SECRET = "what the user said"


async def research(given: Any, writer: GraphWriter) -> Any:
    """Everything that has a span: a model call, a tool call that runs an agent, a subgraph in that."""
    model = {"provider": "acme", "model": "acme-1"}
    async with writer.message(node="plan", message_id="m1", metadata=model) as message:
        await message.reasoning("Hm.")
        await message.text(SECRET)
        await message.tool_call("ask", {"what": SECRET}, tool_call_id="t1")
        message.usage = {
            "input_tokens": 7,
            "output_tokens": 5,
            "input_token_details": {"cache_read": 3},
            "output_token_details": {"reasoning": 2},
        }
    async with writer.tool_call("ask", {"what": SECRET}, tool_call_id="t1") as call:
        async with writer.subgraph("node", agent="expert", tool_call_id="t1") as expert:
            async with expert.message(metadata={"model": "acme-2"}) as message:
                await message.text(SECRET)
            async with expert.subgraph("digging") as digging, digging.tool_call("dig", None, tool_call_id="t2"):
                pass
        call.output = SECRET
    return {"answer": SECRET}


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """A span's attributes, as a dict."""
    return dict(span.attributes or {})


def test_spans_and_their_parents(traced: Traced) -> None:
    """A model call or tool call is a child of its graph, a subgraph of its parent, or of the tool call behind it."""
    assert traced.run(research, name="desk") is None
    assert traced.tree() == {
        "invoke_workflow desk": None,
        "chat acme-1": "invoke_workflow desk",
        "execute_tool ask": "invoke_workflow desk",
        "invoke_agent expert": "execute_tool ask",
        "chat acme-2": "invoke_agent expert",
        "invoke_workflow digging": "invoke_agent expert",
        "execute_tool dig": "invoke_workflow digging",
    }
    assert len(traced.spans) == 7
    assert {span.status.status_code for span in traced.spans} == {StatusCode.UNSET}
    assert {attributes(span)["anyiostream.status"] for span in traced.spans} == {"completed"}


def test_attributes_of_a_model_call(traced: Traced) -> None:
    """Those of the semantic conventions, as far as they are known; and the time to the first token."""
    traced.run(research)
    span = traced.span("chat acme-1")
    found = attributes(span)
    seconds = found.pop("gen_ai.response.time_to_first_chunk")
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "acme",
        "gen_ai.request.model": "acme-1",
        "gen_ai.response.id": "m1",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "anyiostream.namespace": (),
        "anyiostream.node": "plan",
        "anyiostream.status": "completed",
    }
    assert span.kind is SpanKind.CLIENT
    (event,) = span.events
    assert event.name == "anyiostream.first_token"
    assert dict(event.attributes or {}) == {"gen_ai.response.time_to_first_chunk": seconds}


def test_attributes_of_tool_calls_and_graphs(traced: Traced) -> None:
    """What they are called, and where they are."""
    traced.run(research)
    assert attributes(traced.span("execute_tool dig")).items() >= {
        ("gen_ai.operation.name", "execute_tool"),
        ("gen_ai.tool.name", "dig"),
        ("gen_ai.tool.call.id", "t2"),
    }
    expert, digging = attributes(traced.span("invoke_agent expert")), attributes(traced.span("invoke_workflow digging"))
    assert (expert["gen_ai.operation.name"], expert["gen_ai.agent.name"]) == ("invoke_agent", "expert")
    assert (digging["gen_ai.operation.name"], digging["gen_ai.workflow.name"]) == ("invoke_workflow", "digging")
    assert digging["anyiostream.namespace"][:-1] == expert["anyiostream.namespace"]


def test_content_is_not_recorded_unless_asked(traced: Traced) -> None:
    """Neither what models say, nor what tools are given and return."""
    traced.run(research)
    assert SECRET not in "".join(span.to_json() for span in traced.spans)
    traced.exporter.clear()
    traced.run(research, record_content=True)
    (message,) = json.loads(attributes(traced.span("chat acme-1"))["gen_ai.output.messages"])
    assert message == {
        "role": "assistant",
        "parts": [
            {"type": "reasoning", "content": "Hm."},
            {"type": "text", "content": SECRET},
            {"type": "tool_call", "id": "t1", "name": "ask", "arguments": {"what": SECRET}},
        ],
    }
    ask = attributes(traced.span("execute_tool ask"))
    assert json.loads(ask["gen_ai.tool.call.arguments"]) == {"what": SECRET}
    assert json.loads(ask["gen_ai.tool.call.result"]) == SECRET


async def breaks(given: Any, writer: GraphWriter) -> None:
    """Fails inside a message, inside a tool call, inside a subgraph."""
    async with (
        writer.subgraph("inner") as inner,
        inner.tool_call("lookup", tool_call_id="t"),
        inner.message() as message,
    ):
        await message.text("so")
        raise LookupError("not there")


def test_a_failure_is_recorded(traced: Traced) -> None:
    """The status of each span that it went through, and the exception itself on the run's."""
    assert isinstance(traced.run(breaks), LookupError)
    assert traced.tree() == {
        "invoke_workflow": None,
        "invoke_workflow inner": "invoke_workflow",
        "execute_tool lookup": "invoke_workflow inner",
        "chat": "invoke_workflow inner",
    }
    for span in traced.spans:
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "not there")
        assert attributes(span)["anyiostream.status"] == "failed"
    run = traced.span("invoke_workflow")
    assert attributes(run)["error.type"] == "LookupError"
    (exception,) = run.events
    assert exception.name == "exception"
    assert (exception.attributes or {})["exception.message"] == "not there"
    assert attributes(traced.span("chat"))["error.type"] == "_OTHER"


def calls_again(given: Any) -> Any:
    """A task whose subgraph breaks, and which then runs another one."""
    for n, call in enumerate([("a:1",), ("a:1", "1")]):
        yield parts.task_start(f"step {n}", "step", triggers=["start"], ns=call)
        yield parts.messages({"event": "message-start"}, {"run_id": f"m{n}"}, ns=call)
        if n:
            yield parts.messages({"event": "message-finish"}, {"run_id": f"m{n}"}, ns=call)
        error = "no" if n == 0 else None
        yield parts.task_result(f"step {n}", "step", error=error, ns=call)
    yield parts.task_result("1", "a")


def test_further_calls_of_a_subgraph_are_siblings(traced: Traced) -> None:
    """Each has a span of its own below the run; a broken one ends as failed, and takes nothing of the next with it."""
    assert traced.run(calls_again) is None
    assert [(span.name, attributes(span)["anyiostream.status"]) for span in traced.spans] == [
        ("chat", "failed"),
        ("invoke_workflow a", "failed"),
        ("chat", "completed"),
        ("invoke_workflow a", "completed"),
        ("invoke_workflow", "completed"),
    ]
    assert traced.tree()["invoke_workflow a"] == "invoke_workflow"


def cut_off(given: Any) -> Any:
    """Leaves a message, a tool call and two subgraphs open."""
    yield parts.task_start("1", "a", ns=("a:1",))
    yield parts.task_start("2", "b", ns=("a:1", "b:2"))
    yield parts.messages({"event": "message-start"}, {"run_id": "m"}, ns=("a:1", "b:2"))
    yield parts.tools({"event": "tool-started", "tool_call_id": "t", "tool_name": "x"}, ns=("a:1",))
    yield parts.values({})
    if given == "fails":
        raise OSError("gone")
    if given == "ends":
        return
    while True:
        yield parts.custom("on and on")


@pytest.mark.parametrize(("given", "status"), [("fails", "failed"), ("ends", "completed")])
def test_the_runs_end_ends_every_span(traced: Traced, given: str, status: str) -> None:
    """Inner before outer. A model call or a tool that the graph has left open has failed, however the graph ended."""
    traced.run(cut_off, given)
    assert [span.name for span in traced.spans] == [
        "chat", "execute_tool x", "invoke_workflow b", "invoke_workflow a", "invoke_workflow",
    ]  # fmt: skip
    assert [attributes(span)["anyiostream.status"] for span in traced.spans] == ["failed", "failed"] + [status] * 3
    kinds = [attributes(span).get("error.type") for span in traced.spans]
    assert kinds == (["OSError"] * 5 if given == "fails" else ["_OTHER", "_OTHER", None, None, None])


def test_a_run_that_is_left_ends_its_spans(traced: Traced) -> None:
    """As aborted, which is no error."""
    traced.leave_early(cut_off)
    assert traced.tree()["invoke_workflow"] is None
    for span in traced.spans:
        assert attributes(span)["anyiostream.status"] == "aborted"
        assert span.status.status_code is StatusCode.UNSET
        assert not [event for event in span.events if event.name == "exception"]


def test_an_error_that_is_a_tools_answer_is_an_error(traced: Traced) -> None:
    """The span of the tool says so, and that of the run does not."""

    def refuses(given: Any) -> Any:
        answer = {"type": "tool", "content": "no", "tool_call_id": "t", "status": "error"}
        yield parts.tools({"event": "tool-started", "tool_call_id": "t", "tool_name": "x"})
        yield parts.tools({"event": "tool-finished", "tool_call_id": "t", "output": answer})
        yield parts.values({})

    traced.run(refuses)
    span = traced.span("execute_tool x")
    assert attributes(span)["anyiostream.status"] == "failed"
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "no")
    assert attributes(traced.span("invoke_workflow"))["anyiostream.status"] == "completed"


async def asks(given: Any, writer: GraphWriter) -> None:
    """Waits for its user, inside a subgraph."""
    async with writer.subgraph("inner") as inner:
        await inner.interrupt("Shall I?")


def test_an_interrupt_is_no_error(traced: Traced) -> None:
    """The run and the subgraph are interrupted."""
    assert traced.run(asks) is None
    assert attributes(traced.span("invoke_workflow inner"))["anyiostream.status"] == "interrupted"
    assert {span.status.status_code for span in traced.spans} == {StatusCode.UNSET}


def test_a_run_without_a_part_has_its_span(traced: Traced) -> None:
    """From when it was opened, also if it never did anything."""
    traced.run([])
    (span,) = traced.spans
    assert span.name == "invoke_workflow"
    assert isinstance(traced.run(cut_off_at_once), OSError)
    assert traced.spans[-1].status.status_code is StatusCode.ERROR


def cut_off_at_once(given: Any) -> Any:
    """Fails before its first part."""
    raise OSError("at once")
    yield


def test_the_run_is_a_child_of_the_span_round_it(traced: Traced) -> None:
    """That which is current where the run is opened; the run's own is not made current."""
    tracer = get_tracer("test", tracer_provider=traced.provider)
    with tracer.start_as_current_span("request"):
        traced.run(research)
        with tracer.start_as_current_span("afterwards"):
            pass
    assert traced.tree()["invoke_workflow"] == "request"
    assert traced.tree()["afterwards"] == "request"


def test_a_langgraph_graph(traced: Traced) -> None:
    """Model calls, the tool call and the subgraph of the demo, as the function graph would have them."""
    assert traced.run(compile_agent(), QUESTION, name="trip") is None
    names = [span.name for span in traced.spans]
    assert sorted(names) == sorted(
        ["chat", "execute_tool forecast", "invoke_workflow packing", "chat", "invoke_workflow trip"]
    )
    assert {parent for name, parent in traced.tree().items() if name != "invoke_workflow trip"} == {
        "invoke_workflow trip"
    }
    chats = [span for span in traced.spans if span.name == "chat"]
    for span in chats:
        assert attributes(span)["anyiostream.node"] == "think"
        assert attributes(span)["gen_ai.provider.name"] == "scriptedmodel"


def test_a_langgraph_call_counts_from_its_nodes_start(traced: Traced) -> None:
    """LangGraph tells of a call only with its first token; its span covers the time before it as well."""
    traced.run(compile_agent(), QUESTION)
    for span in (span for span in traced.spans if span.name == "chat"):
        (first,) = span.events
        assert span.start_time is not None
        waited = (first.timestamp - span.start_time) / 1e9
        # The scripted model takes its time for each token.
        assert waited >= 0.009
        assert attributes(span)["gen_ai.response.time_to_first_chunk"] >= 0.009


def broken_graph() -> Any:
    """A LangGraph graph whose model fails in a subgraph."""

    class Failing(GenericFakeChatModel):
        def _stream(self, *args: Any, **kwargs: Any) -> Any:
            yield from super()._stream(*args, **kwargs)
            raise ConnectionError("the model is gone")

    model = Failing(messages=iter([AIMessage("half an answer")]))

    def think(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    inner = StateGraph(MessagesState).add_node(think).add_edge(START, "think").compile()
    return StateGraph(MessagesState).add_node("inner", inner).add_edge(START, "inner").compile()


def test_a_langgraph_graph_that_fails(traced: Traced) -> None:
    """Every span has ended, with the error."""
    assert isinstance(traced.run(broken_graph(), {"messages": "hi"}), ConnectionError)
    assert traced.tree() == {
        "invoke_workflow": None,
        "invoke_workflow inner": "invoke_workflow",
        "chat": "invoke_workflow inner",
    }
    assert {span.status.status_code for span in traced.spans} == {StatusCode.ERROR}
    assert traced.span("invoke_workflow").events[0].name == "exception"


def test_agents_called_by_tools() -> None:
    """LangChain's agents are agents, beneath the tool call that runs them."""

    class Model(ScriptedModel):
        def bind_tools(self, *args: Any, **kwargs: Any) -> Any:
            return self

    expert = create_agent(GenericFakeChatModel(messages=iter([AIMessage("much rain")])), name="expert")

    @tool
    async def forecast(city: str) -> str:
        """Ask the expert."""
        state = await expert.ainvoke({"messages": [("user", city)]})
        return str(state["messages"][-1].text)

    boss = create_agent(Model(), [forecast], name="boss")
    traced = Traced({"backend": "asyncio"})
    assert traced.run(boss, QUESTION) is None
    tree = traced.tree()
    assert tree["execute_tool forecast"] == "invoke_workflow"
    assert tree["invoke_agent expert"] == "execute_tool forecast"


def test_message_chunks_have_spans(traced: Traced) -> None:
    """Where the graph streams LangChain's chunks, in place of events; whole messages are no calls."""
    metadata = {"run_id": "r", "ls_model_name": "acme-1", "ls_temperature": 0.5, "thread_id": "t"}
    chunks = [AIMessageChunk("a", id="1"), AIMessageChunk("b", id="1", chunk_position="last")]
    given = [parts.messages(chunk, metadata) for chunk in chunks]
    traced.run([*given, parts.messages(AIMessage("whole", id="2"), metadata)])
    found = attributes(traced.span("chat acme-1"))
    assert (found["gen_ai.request.temperature"], found["gen_ai.conversation.id"]) == (0.5, "t")
    assert len(traced.spans) == 2


def test_finish_metadata_is_recorded(traced: Traced) -> None:
    """The model that answered, and why it stopped."""
    said = {"finish_reason": "stop", "model_name": "acme-1-0925"}
    events = [{"event": "message-start"}, {"event": "message-finish", "metadata": said}]
    traced.run([parts.messages(event, {"run_id": "m"}) for event in events], record_content=True)
    found = attributes(traced.span("chat"))
    assert found["gen_ai.response.model"] == "acme-1-0925"
    assert found["gen_ai.response.finish_reasons"] == ("stop",)
    assert json.loads(found["gen_ai.output.messages"])[0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "part",
    [
        parts.messages({"event": "content-block-delta"}, {"run_id": "unknown"}),
        parts.tools({"event": "tool-finished", "tool_call_id": "unknown"}),
        parts.tools({"event": "tool-output-delta", "tool_call_id": "unknown"}),
        parts.task_result("unknown", "unknown"),
        parts.messages({"event": "message-start", "role": "tool"}, {"run_id": "m"}),
    ],
)
def test_events_of_nothing_known_are_passed_over(traced: Traced, part: Any) -> None:
    """They neither make a span nor fail the run."""
    assert traced.run([part]) is None
    assert len(traced.spans) == 1


def test_what_starts_again_ends_first(traced: Traced) -> None:
    """A call with the key of one that is open is another one; it broke off, like one that the run leaves open."""
    message = parts.messages({"event": "message-start"}, {"run_id": "m"})
    call = parts.tools({"event": "tool-started", "tool_call_id": "t", "tool_name": "x"})
    traced.run([message, message, call, call])
    assert sorted(attributes(span)["anyiostream.status"] for span in traced.spans) == [
        "completed", "failed", "failed", "failed", "failed",
    ]  # fmt: skip


def test_it_traces_once(traced: Traced) -> None:
    """Also if it is registered twice; runs one after the other each have their own trace."""
    traced.run(research, transformers=[traced.transformer, partial(traced.transformer, name="second")])
    assert len(traced.spans) == 7
    traced.run(research)
    assert len(traced.spans) == 14
    assert len({span.context.trace_id for span in traced.spans if span.context}) == 2


def test_what_was_redacted_stays_so(traced: Traced) -> None:
    """Transformers that run before the built-in ones decide what there is to record."""

    class Redacting(StreamTransformer):
        before_builtins = True
        methods = ("messages",)

        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            payload, metadata = event["params"]["data"]
            text = json.dumps(payload).replace(SECRET, "***")
            event["params"]["data"] = json.loads(text), metadata
            return True

    traced.run(research, transformers=[partial(traced.transformer, record_content=True), Redacting])
    assert "***" in attributes(traced.span("chat acme-1"))["gen_ai.output.messages"]
    assert SECRET not in attributes(traced.span("chat acme-1"))["gen_ai.output.messages"]


@pytest.mark.anyio
async def test_runs_side_by_side_do_not_mix() -> None:
    """Each has a trace of its own, with parents inside it."""
    traced = Traced(None)

    async def one() -> None:
        async with open_run(research, transformers=[traced.transformer]) as run:
            async for _ in run:
                await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(one)
    traces: dict[int, set[int]] = {}
    for span in traced.spans:
        assert span.context is not None
        traces.setdefault(span.context.trace_id, set()).add(span.context.span_id)
    assert [len(ids) for ids in traces.values()] == [7] * 5
    for span in traced.spans:
        assert span.context is not None
        assert span.parent is None or span.parent.span_id in traces[span.context.trace_id]


def test_a_run_that_is_refused_leaves_no_span(traced: Traced) -> None:
    """It has not begun."""
    assert isinstance(traced.run(42), TypeError)
    assert traced.spans == ()


def test_without_an_sdk_it_does_nothing() -> None:
    """The API alone records nothing, and nothing fails."""
    with open_run(cut_off, "ends", transformers=[TracingTransformer]) as run:
        assert run.output == {}


def test_the_extra_is_named_if_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an ImportError that says what to install."""
    import importlib
    import sys

    import anyiostream.opentelemetry

    for name in [name for name in sys.modules if name.startswith("anyiostream.opentelemetry.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingExtra, match="opentelemetry"):
        importlib.reload(anyiostream.opentelemetry)
