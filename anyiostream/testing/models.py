"""A streaming chat model that follows a script, for graphs that are functions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, final

import attrs

from anyiostream import GraphWriter

__all__ = ["FakeChatModel", "Replies", "Reply", "ScriptExhausted", "pieces"]


class ScriptExhausted(AssertionError):
    """A scripted model was called more often than it has replies.

    ```python
    model = FakeChatModel("the only reply")

    async def agent(question, writer):
        await model(writer)
        await model(writer)

    async with open_run(agent) as run:
        try:
            await run.output()
        except ScriptExhausted as exc:
            print(exc)
    ```
    """

    def __init__(self, calls: int) -> None:
        super().__init__(
            f"the scripted model was called {calls + 1} times and has {calls} repl{'y' if calls == 1 else 'ies'}. "
            "Give it one for each call that the graph makes."
        )


@final
@attrs.frozen
class Reply:
    """What a scripted model says in one call.

    ```python
    model = FakeChatModel(Reply(["Good ", "morning"], reasoning="They said hello.", usage={"output_tokens": 2}))

    async def agent(question, writer):
        await model(writer)

    async with open_run(agent) as run:
        assert [await message.text async for message in run.messages] == ["Good morning"]
    ```

    Attributes:
        text: Its text; streamed word by word unless it is a sequence of pieces.
        reasoning: What it thinks before, likewise.
        tool_calls: The calls that it asks for: `{"name": str, "args": dict}`, and `"id"`, by default `call-1`, ...
        usage: Token counts, by default none.
        error: Raised when everything else has been streamed: the call fails in its middle.
    """

    text: str | Sequence[str] = ""
    reasoning: str | Sequence[str] = ""
    tool_calls: Sequence[Mapping[str, Any]] = ()
    usage: Mapping[str, int] | None = None
    error: BaseException | None = None

    @property
    def whole_text(self) -> str:
        """The text in one piece."""
        return "".join(pieces(self.text))

    @property
    def whole_reasoning(self) -> str:
        """The reasoning in one piece."""
        return "".join(pieces(self.reasoning))

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The tool calls, each with `name`, `args` and `id`."""
        return [
            {"name": call["name"], "args": dict(call.get("args") or {}), "id": call.get("id") or f"call-{n}"}
            for n, call in enumerate(self.tool_calls, 1)
        ]


def pieces(text: str | Sequence[str]) -> list[str]:
    """A text as a model streams it: word by word, each with the white space after it; pieces as they are."""
    return re.findall(r"\s*\S+\s*", text) or ([text] if text else []) if isinstance(text, str) else list(text)


@final
class Replies:
    """The replies of a scripted model, one for each call.

    Attributes:
        called: Calls so far.
    """

    def __init__(self, replies: Sequence[str | Reply]) -> None:
        self._replies = [Reply(each) if isinstance(each, str) else each for each in replies]
        self.called = 0

    def __len__(self) -> int:
        return len(self._replies)

    def next(self) -> Reply:
        """The reply to the next call.

        Raises:
            ScriptExhausted: There is none left.
        """
        if self.called == len(self._replies):
            raise ScriptExhausted(self.called)
        self.called += 1
        return self._replies[self.called - 1]


@final
class FakeChatModel:
    """A model whose calls stream scripted replies through a graph's writer.

    ```python
    model = FakeChatModel(Reply(tool_calls=[{"name": "search", "args": {"q": "anyio"}}]), "It is a library.")

    async def agent(question, writer):
        reply = await model(writer)        # a message in `run.messages`, piece by piece
    ```

    Awaits nothing but the writer, so it runs on every lane.
    """

    def __init__(self, *replies: str | Reply, provider: str = "fake", name: str = "fake-chat-model") -> None:
        """Write the script.

        Args:
            replies: One for each call; a string is a reply of that text.
            provider: What the message's metadata call the provider.
            name: What they call the model.
        """
        self._replies = Replies(replies)
        self._metadata = {"provider": provider, "model": name}

    @property
    def called(self) -> int:
        """Calls so far."""
        return self._replies.called

    async def __call__(self, writer: GraphWriter, *, node: str | None = None, message_id: str | None = None) -> Reply:
        """Stream the next reply as one message, and return it.

        Args:
            writer: The graph's, or a subgraph's.
            node: The node that makes the call.
            message_id: The message's id; minted if not given.

        Raises:
            ScriptExhausted: There is none left.
            BaseException: The reply's `error`; the message fails with it.
        """
        reply = self._replies.next()
        async with writer.message(node=node, message_id=message_id, metadata=self._metadata) as message:
            for piece in pieces(reply.reasoning):
                await message.reasoning(piece)
            for piece in pieces(reply.text):
                await message.text(piece)
            for call in reply.calls:
                await message.tool_call(call["name"], call["args"], tool_call_id=call["id"])
            message.usage = reply.usage
            if reply.error is not None:
                raise reply.error
        return reply
