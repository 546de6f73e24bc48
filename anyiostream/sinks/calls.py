"""`Calls`: the tool calls of a turn, each told once, whichever reports it first: a message, or the tool itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, final

from anyiostream import Namespace
from anyiostream.sinks.parts import Call, Message
from anyiostream.sinks.teller import Teller
from anyiostream.tooling import tool_failure
from anyiostream.wire import Draft

__all__ = ["Calls"]

DEEPEST: Final = 4
"""How deep in an update a message may stand: in a list, of a field, of one of several updates, of a node."""


@final
class Calls:
    """Reads what the events of a turn say of calls.

    Args:
        teller: Who is told.
        known: Calls that the reader has already: id -> name.
        results: Those of them whose result it has, too.
        at_work: Called with the namespace of each call inside a graph.
        unique: Makes an id unique in the turn.

    Attributes:
        known: Id -> call.
    """

    def __init__(
        self,
        teller: Teller,
        known: Mapping[str, str],
        *,
        results: Collection[str],
        at_work: Callable[[Namespace], object],
        unique: Callable[[str], str],
    ) -> None:
        self.known: Final = {each: Call.known(each, name, answered=each in results) for each, name in known.items()}
        self._tell = teller
        self._at_work = at_work
        self._unique = unique

    def add(self, message: Message, index: Any, content: Mapping[str, Any]) -> Call:
        """The call of a block; another one's, silently, if it has been told of already."""
        message.parts[index] = call = Call("", "", message.namespace, message)
        self.name(call, content)
        args = content.get("args")
        if isinstance(args, str):
            self.add_args(call, args)
        return call

    def name(self, call: Call, fields: Mapping[str, Any]) -> None:
        """Its id and its name, as far as `fields` has them; it is opened when both are known."""
        if call.opened or call.silent:
            return
        call.name = str(fields.get("name") or call.name)
        call.id = str(fields.get("id") or call.id)
        if call.name and call.id:
            self._open(call)

    def _open(self, call: Call) -> None:
        if call.id in self.known:
            call.silent = True
            return
        call.opened = True
        self.known[call.id] = call
        if call.namespace:
            self._at_work(call.namespace)
        self._tell.call_opened(call)
        if call.args:
            self._tell.call_delta(call, call.args)

    def add_args(self, call: Call, piece: Any) -> None:
        """One more piece of its arguments."""
        if isinstance(piece, str) and piece and not call.closed:
            call.add(piece)
            if call.opened:
                self._tell.call_delta(call, piece)

    def replace_args(self, call: Call, args: Any) -> None:
        """`args` are all there is so far."""
        if isinstance(args, str) and args.startswith(call.args):
            self.add_args(call, args[len(call.args) :])

    def close(self, call: Call, args: Any) -> None:
        """Its arguments are complete."""
        if call.closed:
            return
        if not call.opened and not call.silent:
            call.name, call.id = call.name or "tool", call.id or self._unique("call")
            self._open(call)
        call.input, call.closed = args, True
        if call.opened:
            if not call.args and args is not None:
                self._tell.call_delta(call, json.dumps(args))
            self._tell.call_closed(call)

    def fail(self, call: Call, error: str) -> None:
        """It is not made."""
        if call.opened and not call.answered:
            call.answered = True
            self._tell.call_failed(call, error)

    def make(self, call_id: str, name: str, args: Any, namespace: Namespace = ()) -> Call:
        """A call that no message has told of."""
        call = Call(call_id, name, namespace, None)
        self._open(call)
        self.close(call, args)
        return call

    def tool_event(self, draft: Draft) -> None:
        """What a tool says of itself."""
        data = draft.data
        if not isinstance(data, Mapping) or not data.get("tool_call_id"):
            return
        call_id, event = str(data["tool_call_id"]), data.get("event")
        call = self.known.get(call_id)
        if call is None:
            call = self.make(call_id, str(data.get("tool_name") or "tool"), data.get("input"), draft.namespace)
        elif not call.closed:
            self.close(call, data["input"] if data.get("input") is not None else call.parsed())
        if event == "tool-started":
            call.answered = False
            call.begin_output()
        elif event == "tool-output-delta":
            if call.add_output(data.get("delta")):
                self._tell.call_output(call, call.output, last=False)
        elif event in ("tool-finished", "tool-error"):
            call.answered, failure = True, tool_failure(data)
            if failure is None:
                self._tell.call_output(call, data.get("output"), last=True)
            else:
                self._tell.call_failed(call, failure)

    def answer(self, call_id: str, content: Mapping[str, Any]) -> None:
        """A provider has run the tool itself."""
        call = self.known.get(call_id)
        if call is not None and call.closed:
            call.answered = True
            self._tell.call_output(call, content.get("output"), last=True)

    def update(self, update: Any) -> None:
        """A node has written to the state: maybe the results of tools that say nothing themselves.

        It has called them in its own way; or not at all, since their user or some middleware was against it.
        """
        if all(call.answered for call in self.known.values()):
            return
        for message in _tool_messages(update, DEEPEST):
            call = self.known.get(message["tool_call_id"])
            if call is None or call.answered or not call.closed:
                continue
            if message.get("status") == "error":
                self.fail(call, str(message.get("content")))
            else:
                call.answered = True
                self._tell.call_output(call, dict(message), last=True)

    def catch_up(self) -> None:
        """There will be no more output: tell what has been held back of it."""
        for call in self.known.values():
            if not call.answered and call.catch_up():
                self._tell.call_output(call, call.output, last=False)

    def give_up(self, error: str) -> None:
        """There will be no more results."""
        for call in self.known.values():
            if not call.was_known:
                self.fail(call, error)


def _tool_messages(value: Any, deepest: int) -> Iterator[Mapping[str, Any]]:
    """The messages of tools in an update, as LangChain dumps them or as a node has written them."""
    if isinstance(value, Mapping):
        if (value.get("type") or value.get("role")) == "tool" and isinstance(value.get("tool_call_id"), str):
            yield value
            return
        value = list(value.values())
    if isinstance(value, list) and deepest:
        for each in value:
            yield from _tool_messages(each, deepest - 1)
