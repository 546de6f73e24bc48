"""The scripted conversations as graphs of each source, and what their snapshots say in the words of all."""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final, Protocol

from anyiostream.testing import Reply
from anyiostream.testing.models import pieces

from .conversations import Agent, Conversation, Tools

__all__ = ["ADAPTERS", "FRAMEWORKS", "Adapter"]


class Adapter(Protocol):
    """One source."""

    lanes: tuple[str, ...]

    def opened(self, conversation: Conversation, tools: Tools) -> dict[str, Any]:
        """What `open_run` is called with."""
        ...

    def resumed(self, opened: dict[str, Any], interrupts: Sequence[Any], state: Any) -> dict[str, Any]:
        """The same for the run that goes on with `True`."""
        ...

    def output(self, state: Any) -> Any:
        """What the agent has answered."""
        ...

    def history(self, state: Any) -> list[tuple[str, str]]:
        """(role, text) of the messages in a snapshot."""
        ...

    def asked(self, value: Any) -> tuple[str, Any]:
        """(tool, arguments) of an interrupt."""
        ...

    def named(self, handle: Any) -> str:
        """The agent that a subgraph is."""
        ...


# --- functions ---


class Function:
    """The agent's loop written out, in a function graph."""

    lanes = ("async", "sync")

    def opened(self, conversation: Conversation, tools: Tools) -> dict[str, Any]:
        from anyiostream import Resumption
        from anyiostream.errors import GraphInterrupt
        from anyiostream.testing import FakeChatModel

        async def tool(agent: Agent, call: Mapping[str, Any], writer: Any, approved: bool) -> str:
            name, args = call["name"], call["args"]
            try:
                async with writer.tool_call(name, args, tool_call_id=call["id"]) as shown:
                    nested = {each.name: each for each in agent.tools if isinstance(each, Agent)}.get(name)
                    if nested is not None:
                        async with writer.subgraph(name, args, agent=name, tool_call_id=call["id"]) as inner:
                            model = FakeChatModel(*nested.replies)
                            shown.output = (await turns(nested, model, inner, [("user", args["q"])]))[-1][1]
                    elif name == "pay" and not approved:
                        await writer.interrupt({"tool_name": name, "args": args}, interrupt_id=call["id"])
                    else:
                        made = getattr(tools, name)(**args)
                        shown.output = await made if hasattr(made, "__await__") else made
                    return str(shown.output)
            except GraphInterrupt:
                raise
            except Exception as exc:
                return str(exc)

        async def turns(agent: Agent, model: Any, writer: Any, history: list[Any], pending: Any = ()) -> list[Any]:
            approved = bool(pending)
            while True:
                await writer.values({"messages": list(history), "pending": pending})
                for call in pending:
                    history.append(("tool", await tool(agent, call, writer, approved)))
                if pending:
                    await writer.values({"messages": list(history)})
                reply = await model(writer, node=agent.name)
                history.append(("ai", reply.whole_text))
                pending, approved = reply.calls, False
                if not pending:
                    return history

        model = FakeChatModel(*conversation.agent.replies)

        async def graph(given: Any, writer: Any) -> Any:
            state = given.values if isinstance(given, Resumption) else {"messages": [("user", given)]}
            history = await turns(conversation.agent, model, writer, list(state["messages"]), state.get("pending", ()))
            answer: Any = history[-1][1]
            if conversation.structured:
                import json

                answer = json.loads(answer)
            return {"messages": history, "output": answer}

        return {"graph": graph, "input": "Hi"}

    def resumed(self, opened: dict[str, Any], interrupts: Sequence[Any], state: Any) -> dict[str, Any]:
        from anyiostream import Resumption

        return {**opened, "input": Resumption({each.id: True for each in interrupts}, state)}

    def output(self, state: Any) -> Any:
        return state.get("output")

    def history(self, state: Any) -> list[tuple[str, str]]:
        return [tuple(each) for each in state["messages"]]

    def asked(self, value: Any) -> tuple[str, Any]:
        return value["tool_name"], value["args"]

    def named(self, handle: Any) -> str:
        return str(handle.graph_name)


# --- LangGraph ---


def said(error: Exception) -> str:
    """What a model is told of a tool's error; LangGraph reads the annotation."""
    return str(error)


class LangGraph:
    """A loop of a model's node and a `ToolNode`."""

    lanes = ("async", "sync")

    def opened(self, conversation: Conversation, tools: Tools) -> dict[str, Any]:
        from langgraph.checkpoint.memory import InMemorySaver

        graph = self._graph(conversation.agent, tools, structured=conversation.structured, saver=InMemorySaver())
        given = {"messages": [{"role": "user", "content": "Hi"}]}
        return {"graph": graph, "input": given, "config": {"configurable": {"thread_id": "1"}}}

    def _graph(self, agent: Agent, tools: Tools, *, structured: bool = False, saver: Any = None) -> Any:
        import json

        from langgraph.graph import END, START, MessagesState, StateGraph
        from langgraph.prebuilt import ToolNode, tools_condition

        from anyiostream.testing.langchain import FakeStreamingChatModel

        model = FakeStreamingChatModel(*agent.replies)

        class State(MessagesState):
            output: Any

        async def acall(state: State) -> dict[str, Any]:
            return answered(await model.ainvoke(state["messages"]))

        def call(state: State) -> dict[str, Any]:
            return answered(model.invoke(state["messages"]))

        def answered(reply: Any) -> dict[str, Any]:
            text = reply.text if isinstance(reply.text, str) else reply.text()
            done = not reply.tool_calls
            return {"messages": [reply], **({"output": json.loads(text) if structured else text} if done else {})}

        from langchain_core.runnables import RunnableLambda

        builder: Any = StateGraph(State)
        builder.add_node("model", RunnableLambda(call, acall))
        builder.add_edge(START, "model")
        if agent.tools:
            made = [self._tool(each, tools) for each in agent.tools]
            builder.add_node("tools", ToolNode(made, handle_tool_errors=said))
            builder.add_conditional_edges("model", tools_condition)
            builder.add_edge("tools", "model")
        else:
            builder.add_edge("model", END)
        return builder.compile(checkpointer=saver, name=agent.name)

    def _tool(self, tool: str | Agent, tools: Tools) -> Any:
        from langchain_core.tools import StructuredTool
        from langgraph.types import interrupt

        if isinstance(tool, Agent):
            inner = self._graph(tool, tools)

            async def aexpert(q: str) -> str:
                return str((await inner.ainvoke({"messages": [("user", q)]}))["output"])

            def expert(q: str) -> str:
                return str(inner.invoke({"messages": [("user", q)]})["output"])

            return StructuredTool.from_function(expert, aexpert, name=tool.name, description="Asks an expert.")
        if tool == "pay":

            def pay(amount: int) -> str:
                assert interrupt({"tool_name": "pay", "args": {"amount": amount}}) is True
                return tools.pay(amount)

            async def apay(amount: int) -> str:
                return pay(amount)

            return StructuredTool.from_function(pay, apay, name="pay", description="Pays.")
        function = getattr(tools, tool)
        if tool in {"busy", "slow"}:
            return StructuredTool.from_function(coroutine=function, name=tool, description=tool)

        async def acall(q: str) -> str:
            return str(function(q))

        return StructuredTool.from_function(function, acall, name=tool, description=tool)

    def resumed(self, opened: dict[str, Any], interrupts: Sequence[Any], state: Any) -> dict[str, Any]:
        from langgraph.types import Command

        return {**opened, "input": Command(resume={each.id: True for each in interrupts})}

    def output(self, state: Any) -> Any:
        return state.get("output")

    def history(self, state: Any) -> list[tuple[str, str]]:
        roles = {"human": "user"}
        return [
            (roles.get(each.type, each.type), each.text if isinstance(each.text, str) else each.text())
            for each in state["messages"]
        ]

    def asked(self, value: Any) -> tuple[str, Any]:
        return value["tool_name"], value["args"]

    def named(self, handle: Any) -> str:
        assert handle.graph_name == "tools"  # LangGraph calls a subgraph after the node that runs it
        return "expert"


# --- pydantic-ai ---


class PydanticAI:
    """An agent of pydantic-ai with a `FunctionModel`."""

    lanes = ("async",)

    def opened(self, conversation: Conversation, tools: Tools) -> dict[str, Any]:
        from anyiostream.sources.pydantic_ai import PydanticAgent

        agent = self._agent(conversation.agent, tools, structured=conversation.structured)
        return {"graph": PydanticAgent(agent), "input": "Hi"}

    def _agent(self, agent: Agent, tools: Tools, *, structured: bool = False) -> Any:
        import json

        import pydantic
        import pydantic_ai
        from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, DeltaToolCall, FunctionModel

        class City(pydantic.BaseModel):
            city: str

        replies = iter(agent.replies)

        async def stream(messages: Any, info: AgentInfo) -> Any:
            reply: Reply = next(replies)
            for piece in pieces(reply.reasoning):
                yield {0: DeltaThinkingPart(content=piece)}
            for piece in pieces(reply.text):
                yield piece
            for index, call in enumerate(reply.calls, 5):
                args = json.dumps(call["args"])
                half = len(args) // 2
                yield {index: DeltaToolCall(name=call["name"], json_args=args[:half], tool_call_id=call["id"])}
                yield {index: DeltaToolCall(json_args=args[half:])}
            if reply.error is not None:
                raise reply.error

        model = FunctionModel(stream_function=stream)
        usages = {id(each): each.usage for each in agent.replies}
        counted(model, [usages[id(each)] for each in agent.replies])
        made: Any = pydantic_ai.Agent(
            model,
            name=agent.name,
            output_type=pydantic_ai.NativeOutput(City) if structured else [str, pydantic_ai.DeferredToolRequests],
        )
        for tool in agent.tools:
            if isinstance(tool, Agent):
                made.tool(self._expert(self._agent(tool, tools)), name=tool.name)
            elif tool == "broken":

                async def broken(q: str) -> str:
                    try:
                        return tools.broken(q)
                    except ValueError as exc:
                        raise pydantic_ai.ModelRetry(str(exc)) from exc

                made.tool_plain(broken)
            else:
                made.tool_plain(getattr(tools, tool), requires_approval=tool == "pay")
        return made

    def _expert(self, inner: Any) -> Any:
        from pydantic_ai import RunContext

        from anyiostream.sources.pydantic_ai import run_nested

        async def expert(ctx: RunContext[None], q: str) -> str:
            return str((await run_nested(inner, q, context=ctx)).output)

        return expert

    def resumed(self, opened: dict[str, Any], interrupts: Sequence[Any], state: Any) -> dict[str, Any]:
        return Function().resumed(opened, interrupts, state)

    def output(self, state: Any) -> Any:
        output = state.get("output")
        return output.model_dump() if hasattr(output, "model_dump") else output

    def history(self, state: Any) -> list[tuple[str, str]]:
        shown = []
        for message in state["messages"]:
            if message["kind"] == "response":
                text = "".join(part["content"] for part in message["parts"] if part["part_kind"] == "text")
                shown.append(("ai", text))
                continue
            for part in message["parts"]:
                kind = part["part_kind"]
                if kind == "user-prompt":
                    shown.append(("user", part["content"]))
                elif kind in {"tool-return", "retry-prompt"}:
                    shown.append(("tool", str(part["content"])))
        return shown

    def asked(self, value: Any) -> tuple[str, Any]:
        return value["tool_name"], value["args"]

    def named(self, handle: Any) -> str:
        return str(handle.graph_name)


def counted(model: Any, usages: list[Any]) -> None:
    """Let a `FunctionModel` report the scripted usage, not what it estimates."""
    from contextlib import asynccontextmanager

    from pydantic_ai.usage import RequestUsage

    request_stream = model.request_stream
    left = iter(usages)

    @asynccontextmanager
    async def scripted(*args: Any, **kwargs: Any) -> Any:
        usage = next(left) or {}
        async with request_stream(*args, **kwargs) as stream:
            used = RequestUsage(input_tokens=usage.get("input_tokens", 0), output_tokens=usage.get("output_tokens", 0))
            fixed = property(lambda _, used=used: used, lambda _, estimate: None)
            stream.__class__ = type("Scripted", (type(stream),), {"_usage": fixed})
            yield stream

    model.request_stream = scripted


# --- OpenAI Agents ---


class OpenAIAgents:
    """An agent of the OpenAI Agents SDK with a scripted model."""

    lanes = ("async",)

    def opened(self, conversation: Conversation, tools: Tools) -> dict[str, Any]:
        from agents import RunConfig

        from anyiostream.sources.openai_agents import OpenAIAgent

        agent = self._agent(conversation.agent, tools, structured=conversation.structured)
        return {"graph": OpenAIAgent(agent, run_config=RunConfig(tracing_disabled=True)), "input": "Hi"}

    def _agent(self, agent: Agent, tools: Tools, *, structured: bool = False) -> Any:
        import agents
        import pydantic

        from .openai_model import ScriptedModel

        class City(pydantic.BaseModel):
            city: str

        made = []
        for tool in agent.tools:
            if isinstance(tool, Agent):
                made.append(agents.function_tool(self._expert(self._agent(tool, tools)), name_override=tool.name))
            elif tool == "broken":
                made.append(agents.function_tool(tools.broken, failure_error_function=lambda _, exc: str(exc)))
            elif tool == "pay":
                made.append(agents.function_tool(tools.pay, needs_approval=True))
            else:
                made.append(agents.function_tool(getattr(tools, tool)))
        model = ScriptedModel(agent.replies)
        return agents.Agent(agent.name, model=model, tools=made, output_type=City if structured else None)

    def _expert(self, inner: Any) -> Any:
        from agents import RunConfig
        from agents.tool_context import ToolContext

        from anyiostream.sources.openai_agents import run_nested

        async def expert(ctx: ToolContext[None], q: str) -> str:
            config = RunConfig(tracing_disabled=True)
            return str((await run_nested(inner, q, context=ctx, run_config=config)).final_output)

        return expert

    def resumed(self, opened: dict[str, Any], interrupts: Sequence[Any], state: Any) -> dict[str, Any]:
        return Function().resumed(opened, interrupts, state)

    def output(self, state: Any) -> Any:
        return PydanticAI().output(state)

    def history(self, state: Any) -> list[tuple[str, str]]:
        shown: list[tuple[str, str]] = []
        turn = -1  # an answer is a message, and the calls that follow it
        for item in state["messages"]:
            kind = item.get("type", "message")
            if kind == "function_call_output":
                shown.append(("tool", item["output"]))
                turn = -1
            elif kind == "function_call":
                if turn < 0:
                    shown.append(("ai", ""))
                    turn = len(shown)
            elif item.get("role") == "user":
                shown.append(("user", item["content"]))
            elif kind == "message":
                shown.append(("ai", "".join(part["text"] for part in item["content"])))
                turn = len(shown)
        return shown

    def asked(self, value: Any) -> tuple[str, Any]:
        return value["tool_name"], value["args"]

    def named(self, handle: Any) -> str:
        return str(handle.graph_name)


ADAPTERS: Final[Mapping[str, Callable[[], Adapter]]] = {
    "function": Function,
    "langgraph": LangGraph,
    "pydantic-ai": PydanticAI,
    "openai-agents": OpenAIAgents,
}

FRAMEWORKS: Final = {"pydantic-ai": find_spec("pydantic_ai"), "openai-agents": find_spec("agents")}
"""Those that are installed in a session of their own, and where they are."""
