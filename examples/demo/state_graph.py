"""The agent as a LangGraph graph: a model, a tool node, and a subgraph."""

from __future__ import annotations

from typing import Any

from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from examples.demo.script import WEATHER, ScriptedModel, TripState, pack_clothes, pack_extras

model = ScriptedModel()


@tool
def forecast(city: str) -> str:
    """The weather in a city, at the weekend."""
    write = get_stream_writer()
    for day, weather in WEATHER.items():
        write({"city": city, "day": day, "weather": weather})
    return ", ".join(WEATHER.values())


def think(state: TripState) -> dict[str, Any]:
    """Ask the model."""
    return {"messages": [model.invoke(state["messages"])]}


def clothes(state: TripState) -> dict[str, Any]:  # noqa: ARG001 -- a node takes the state
    """First step of packing."""
    return {"bag": pack_clothes()}


def extras(state: TripState) -> dict[str, Any]:
    """Second step of packing."""
    get_stream_writer()({"note": "the umbrella goes on top"})
    return {"bag": pack_extras(state["bag"])}


def compile_agent() -> CompiledStateGraph[TripState]:
    """The agent, ready to be run."""
    packing = StateGraph(TripState)
    packing.add_node(clothes).add_node(extras)
    packing.add_edge(START, "clothes").add_edge("clothes", "extras")

    agent = StateGraph(TripState)
    agent.add_node(think).add_node("tools", ToolNode([forecast])).add_node("packing", packing.compile())
    agent.add_edge(START, "think").add_conditional_edges("think", tools_condition)
    agent.add_edge("tools", "packing").add_edge("packing", "think")
    return agent.compile()
