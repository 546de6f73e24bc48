"""Twelve conversations, each scripted once, with what every source's projections have to show of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
import anyio.lowlevel
import attrs

from anyiostream.testing import Reply

__all__ = ["CONVERSATIONS", "EXPERT", "Agent", "Broken", "Conversation", "Shown", "Tools", "call"]

USAGE: Final = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


class Broken(Exception):
    """What a model fails with."""


@attrs.frozen
class Agent:
    """An agent: what its model says, call by call, and its tools by name; a tool may be another agent."""

    name: str
    replies: tuple[Reply, ...]
    tools: tuple[str | Agent, ...] = ()


@attrs.define
class Tools:
    """The tools of all agents, and what has become of their calls.

    Attributes:
        began: Calls of `slow` and `busy`.
        ended: Those that have ended.
        cleaned: Those whose clean-up has come to its end.
    """

    began: int = 0
    ended: int = 0
    cleaned: int = 0

    def search(self, q: str) -> str:
        return f"found {q}"

    def broken(self, q: str) -> str:
        raise ValueError(f"no index for {q}")

    def pay(self, amount: int) -> str:
        return f"paid {amount}"

    async def busy(self, q: str) -> str:
        async with self.call():
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
        return f"found {q}"

    async def slow(self, q: str) -> str:
        async with self.call():
            await anyio.sleep_forever()
        return q

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        self.began += 1
        try:
            yield
        finally:
            try:
                with anyio.CancelScope(shield=True):
                    for _ in range(3):  # a clean-up that takes its time
                        await anyio.lowlevel.checkpoint()
                self.cleaned += 1
            finally:
                self.ended += 1


@attrs.frozen
class Shown:
    """What the projections show, in the same words for all sources.

    Attributes:
        messages: (names of the subgraphs, reasoning, text, calls asked for, total tokens), in order.
        tool_calls: (name, arguments, output or error, status).
        subgraphs: (names, status).
        output: What the agent has answered.
        history: (role, text) of the last snapshot.
        interrupts: (tool, arguments).
        status: How the run ended.
    """

    messages: list[Any] = attrs.field(factory=list)
    tool_calls: list[Any] = attrs.field(factory=list)
    subgraphs: list[Any] = attrs.field(factory=list)
    output: Any = None
    history: list[Any] = attrs.field(factory=list)
    interrupts: list[Any] = attrs.field(factory=list)
    status: str = "completed"


@attrs.frozen
class Conversation:
    """One conversation.

    Attributes:
        agent: Who is asked `Hi`.
        shown: What its run shows.
        answered: What the run shows that goes on with `True` as answer, if it is interrupted.
        structured: Whether its output is `{"city": str}`, which its model writes as JSON.
        left: Whether the run's block is left in the middle.
        raises: The text of what reading the run raises.
    """

    agent: Agent
    shown: Shown
    answered: Shown | None = None
    structured: bool = False
    left: bool = False
    raises: str | None = None


def call(name: str, call_id: str, **args: Any) -> Mapping[str, Any]:
    """A tool call that a model asks for."""
    return {"name": name, "id": call_id, "args": args}


def said(
    text: str, *, path: tuple[str, ...] = (), reasoning: str = "", calls: Any = (), tokens: int | None = None
) -> Any:
    """A message, as `Shown.messages` has it."""
    return (path, reasoning, text, [(each["name"], each["args"]) for each in calls], tokens)


HI: Final = ("user", "Hi")
LOOK: Final = call("search", "c1", q="tides")
BOTH: Final = (LOOK, call("search", "c2", q="dunes"))
FAIL: Final = call("broken", "c1", q="tides")
PAY: Final = call("pay", "c1", amount=5)
WAIT: Final = call("slow", "c1", q="tides")
ASK: Final = call("expert", "c1", q="tides")
FOUND: Final = ("search", {"q": "tides"}, "found tides", "completed")

EXPERT: Final = Agent("expert", (Reply("High at six."),))

CONVERSATIONS: Final[Mapping[str, Conversation]] = {
    "text": Conversation(
        Agent("main", (Reply("Good morning to you"),)),
        Shown([said("Good morning to you")], output="Good morning to you", history=[HI, ("ai", "Good morning to you")]),
    ),
    "reasoning": Conversation(
        Agent("main", (Reply("Good morning", reasoning="They said hello."),)),
        Shown(
            [said("Good morning", reasoning="They said hello.")],
            output="Good morning",
            history=[HI, ("ai", "Good morning")],
        ),
    ),
    "one tool": Conversation(
        Agent("main", (Reply("Let me look.", tool_calls=[LOOK]), Reply("At six.")), ("search",)),
        Shown(
            [said("Let me look.", calls=[LOOK]), said("At six.")],
            [FOUND],
            output="At six.",
            history=[HI, ("ai", "Let me look."), ("tool", "found tides"), ("ai", "At six.")],
        ),
    ),
    "parallel tools": Conversation(
        Agent("main", (Reply(tool_calls=BOTH), Reply("Both.")), ("search",)),
        Shown(
            [said("", calls=BOTH), said("Both.")],
            [FOUND, ("search", {"q": "dunes"}, "found dunes", "completed")],
            output="Both.",
            history=[HI, ("ai", ""), ("tool", "found tides"), ("tool", "found dunes"), ("ai", "Both.")],
        ),
    ),
    "tool error": Conversation(
        Agent("main", (Reply(tool_calls=[FAIL]), Reply("No luck.")), ("broken",)),
        Shown(
            [said("", calls=[FAIL]), said("No luck.")],
            [("broken", {"q": "tides"}, "no index for tides", "failed")],
            output="No luck.",
            history=[HI, ("ai", ""), ("tool", "no index for tides"), ("ai", "No luck.")],
        ),
    ),
    "model error": Conversation(
        Agent("main", (Reply("Good mor", error=Broken("the line is down")),)),
        Shown([said("Good mor")], history=[HI], status="failed"),
        raises="the line is down",
    ),
    "nested agent": Conversation(
        Agent("main", (Reply(tool_calls=[ASK]), Reply("At six.")), (EXPERT,)),
        Shown(
            [said("", calls=[ASK]), said("High at six.", path=("expert",)), said("At six.")],
            [("expert", {"q": "tides"}, "High at six.", "completed")],
            [(("expert",), "completed")],
            output="At six.",
            history=[HI, ("ai", ""), ("tool", "High at six."), ("ai", "At six.")],
        ),
    ),
    "interrupt": Conversation(
        Agent("main", (Reply("May I?", tool_calls=[PAY]), Reply("Done.")), ("pay",)),
        Shown(
            [said("May I?", calls=[PAY])],
            [("pay", {"amount": 5}, None, "interrupted")],
            history=[HI, ("ai", "May I?")],
            interrupts=[("pay", {"amount": 5})],
            status="interrupted",
        ),
        answered=Shown(
            [said("Done.")],
            [("pay", {"amount": 5}, "paid 5", "completed")],
            output="Done.",
            history=[HI, ("ai", "May I?"), ("tool", "paid 5"), ("ai", "Done.")],
        ),
    ),
    "left in text": Conversation(
        Agent("main", (Reply("One two three four five six"),)),
        Shown(history=[HI], status="aborted"),
        left=True,
    ),
    "left in a tool": Conversation(
        Agent("main", (Reply("Wait.", tool_calls=[WAIT]), Reply("Never said.")), ("slow",)),
        Shown(history=[HI, ("ai", "Wait.")], status="aborted"),
        left=True,
    ),
    "usage": Conversation(
        Agent("main", (Reply("Look", tool_calls=[LOOK], usage=USAGE), Reply("At six.", usage=USAGE)), ("search",)),
        Shown(
            [said("Look", calls=[LOOK], tokens=5), said("At six.", tokens=5)],
            [FOUND],
            output="At six.",
            history=[HI, ("ai", "Look"), ("tool", "found tides"), ("ai", "At six.")],
        ),
    ),
    "structured output": Conversation(
        Agent("main", (Reply('{"city": "Bergen"}'),)),
        Shown(
            [said('{"city": "Bergen"}')],
            output={"city": "Bergen"},
            history=[HI, ("ai", '{"city": "Bergen"}')],
        ),
        structured=True,
    ),
}
"""Name -> conversation."""
