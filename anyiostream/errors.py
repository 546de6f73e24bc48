"""Every exception and warning of the library, in one tree.

Each one builds its message from facts (which channel, which limit, which task) and ends with what to do next.
Where users of `langgraph.stream` catch a built-in (`TypeError`, `RuntimeError`, `ValueError`, `KeyError`), ours
subclasses it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = [
    "AlreadyBound",
    "AlreadySubscribed",
    "AnyioStreamError",
    "AsyncTransformerRefused",
    "BackpressureDeadlock",
    "ChannelClosed",
    "ChannelFull",
    "ChannelUnbound",
    "ChildrenRefused",
    "CursorBusy",
    "EmitterMisused",
    "ForeignAwait",
    "ForeignExit",
    "GraphInterrupt",
    "HookStopped",
    "InvalidBound",
    "InvalidHook",
    "InvalidProjection",
    "ItemsDroppedWarning",
    "ItemsMissed",
    "MalformedPart",
    "MessageFailed",
    "MissingExtra",
    "MissingProjection",
    "NotAChannel",
    "NotAGraph",
    "NotATransformer",
    "NotAwaited",
    "NotAwaitedWarning",
    "PrebuiltTransformer",
    "ProjectionConflict",
    "PromiseUnresolved",
    "RunAborted",
    "RunBlocksLoopWarning",
    "RunClosed",
    "RunNotEntered",
    "RunReentered",
    "RunUnclosedWarning",
    "RunWaitsForItself",
    "ScheduleRefused",
    "SourceStopped",
    "SubgraphFailed",
    "UnknownOption",
    "UnknownProjection",
    "WriterClosed",
    "WrongLane",
]


class AnyioStreamError(Exception):
    """The root of the tree: `except AnyioStreamError` catches whatever the library itself raises."""


# --- How a run ended -------------------------------------------------------------------------------------------


class RunAborted(AnyioStreamError):
    """The run was aborted, or its block was left, before the graph had finished.

    Attributes:
        partial: What there was so far: the last state snapshot for a run, the unfinished message for a message;
            `None` if there was nothing yet.
    """

    def __init__(self, what: str = "the run", *, partial: Any = None) -> None:
        super().__init__(
            f"{what} was aborted before it finished; its value so far is in this exception's `partial`. "
            "Await output() inside the block if you need the final state."
        )
        self.partial = partial


class RunClosed(AnyioStreamError, RuntimeError):
    """A new cursor was asked of a run whose block has been left."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"cannot subscribe to {what}: the run's block has been left. Open cursors inside the block; "
            "output(), status and finished messages stay readable after it."
        )


class RunReentered(AnyioStreamError, RuntimeError):
    """One `open_run(...)` object was entered twice."""

    def __init__(self) -> None:
        super().__init__(
            "this open_run(...) has been entered already, and one object is one run. Call open_run(...) again."
        )


class RunNotEntered(AnyioStreamError, TypeError, AttributeError):
    """An `open_run(...)` object was used as if it were the run that entering it gives."""

    def __init__(self, used: str) -> None:
        super().__init__(
            f"open_run(...) {used}: it is a context manager, and entering it gives the run. Write "
            "`async with open_run(...) as run:`, without await before open_run, or without an event loop "
            "`with open_run(...) as run:`, and use `run` inside the block."
        )


class NotAwaited(AnyioStreamError, TypeError, AttributeError):
    """The result of an async method was used before it was awaited."""

    def __init__(self, what: str, *, example: str = "") -> None:
        super().__init__(
            f"{what} has not been awaited, so there is no result yet: write `{example or f'await {what}'}`."
        )


class RunWaitsForItself(AnyioStreamError, RuntimeError):
    """A hook or a scheduled task waits for the run that waits for it."""

    def __init__(self, waiter: str, target: str) -> None:
        super().__init__(
            f"{waiter} waits for {target} of its own run, which cannot go on before {waiter} is done. "
            "Push what you know to a channel and let the application read it."
        )


class ForeignExit(AnyioStreamError, RuntimeError):
    """On trio, a run's block was left in another task than it was entered in."""

    def __init__(self, entered: str, left: str) -> None:
        super().__init__(
            f"the run was entered in task {entered} but its block is being left in task {left}; trio forbids that, "
            "because a nursery belongs to one task. This is what happens when an async generator that holds "
            "`async with open_run(...)` around a `yield` is abandoned. The run has been cancelled. Close the "
            "generator with `async with contextlib.aclosing(...)`, or wrap it in `trio.as_safe_channel`."
        )


class GraphInterrupt(AnyioStreamError):
    """A graph, or a subgraph, was interrupted: a status, not a failure. Never reaches a reader.

    The counterpart of LangGraph's exception of the same name, for graphs that do without LangGraph.

    Attributes:
        interrupts: The payloads, in order.
    """

    def __init__(self, interrupts: Iterable[Any] = ()) -> None:
        self.interrupts = tuple(interrupts)
        super().__init__(f"interrupted with {len(self.interrupts)} interrupt(s)")


class SubgraphFailed(AnyioStreamError, RuntimeError):
    """A subgraph failed; the message is its error's text. The graph may go on if its parent handles the error."""

    def __init__(self, text: str) -> None:
        super().__init__(text)


class MessageFailed(AnyioStreamError, RuntimeError):
    """A model call reported an error; the message is its text. The graph may handle it and go on."""

    def __init__(self, text: str) -> None:
        super().__init__(text)


class SourceStopped(AnyioStreamError, RuntimeError):
    """The graph raised an exception that Python's iteration protocol or the event loop would misread.

    A stray `StopIteration` or `StopAsyncIteration` would end a reader's loop as if the graph were complete, and a
    `CancelledError` that nobody sent would look like a cancellation of the reader. The original is `__cause__`.
    """

    def __init__(self, source: str, kind: str) -> None:
        super().__init__(
            f"{source} raised {kind}, which would be misread as {_MISREADINGS.get(kind, 'control flow')} by its "
            "readers; see the exception's cause for where it came from."
        )


class HookStopped(AnyioStreamError, RuntimeError):
    """A transformer's hook raised a stray `StopIteration`, `StopAsyncIteration` or cancellation."""

    def __init__(self, hook: str, kind: str) -> None:
        super().__init__(
            f"{hook} raised {kind}, which would be misread as {_MISREADINGS.get(kind, 'control flow')}; a bare "
            "next() on an iterator that ran dry is the usual reason. Use next(iterator, default)."
        )


_MISREADINGS = {
    "StopIteration": "the end of the stream",
    "StopAsyncIteration": "the end of the stream",
    "CancelledError": "a cancellation",
}


# --- Channels and cursors --------------------------------------------------------------------------------------


class ChannelUnbound(AnyioStreamError, TypeError):
    """A channel was read before a mux had registered it."""

    def __init__(self, channel: str) -> None:
        super().__init__(
            f"{channel} has not been bound yet. Return it from a transformer's init() and register the transformer "
            "with a run or a StreamMux first."
        )


class AlreadyBound(AnyioStreamError, RuntimeError):
    """A channel or promise was registered twice."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} is already bound to a run. Create it in the transformer's __init__ or init(), one per instance, "
            "and pass the transformer's class, not an instance, to open_run."
        )


class WrongLane(AnyioStreamError, TypeError):
    """Something of the async lane was used on the sync lane, or the other way round."""

    def __init__(self, what: str, bound_to: str, remedy: str) -> None:
        super().__init__(f"{what} is bound to {bound_to} mode: {remedy}")


class AlreadySubscribed(AnyioStreamError, RuntimeError):
    """A channel that has, or had, its one reader was subscribed again."""

    def __init__(self, channel: str, *, left: bool, fan_out: str) -> None:
        super().__init__(
            f"{channel} already has a subscriber"
            + (", which has left: what it did not read is gone" if left else "")
            + f". Keep one cursor (`cursor = {'aiter' if fan_out == 'atee' else 'iter'}(channel)`), which may be "
            f"left and taken up again, or use .{fan_out}(n) for fan-out."
        )


class CursorBusy(AnyioStreamError, RuntimeError):
    """Two tasks wait on one cursor at the same time."""

    def __init__(self, channel: str, fan_out: str) -> None:
        super().__init__(
            f"another task is waiting on this cursor of {channel}. One cursor serves one task at a time; "
            f"use .{fan_out}(n) to give each its own."
        )


class ChannelClosed(AnyioStreamError, RuntimeError):
    """An item was pushed to a channel that has ended."""

    def __init__(self, channel: str) -> None:
        super().__init__(f"Cannot push to a closed channel: {channel} has ended. Push before finalize() returns.")


class ChannelFull(AnyioStreamError, RuntimeError):
    """A push would exceed the bounds: the channel's and its producer's."""

    def __init__(self, channel: str, maxlen: float, *, waiting: int) -> None:
        super().__init__(
            f"{channel} is full: its buffer of {maxlen:g} items, and {waiting} more of this producer wait. "
            "Use `await channel.send(item)`, which waits for the reader, or give the channel an overflow policy."
        )


class BackpressureDeadlock(AnyioStreamError, RuntimeError):
    """A task waits for something that only it could set free. Neither the run nor the cursor is harmed."""

    def __init__(self, *, full: str, maxlen: float, waits_for: str, fan_out: str) -> None:
        super().__init__(
            f"this task waits for {waits_for}, but the run is stalled because {full}, which this task reads, holds "
            f"its {maxlen:g} items. Read both in two tasks, give {full} to another reader with .{fan_out}(n), open "
            "the run with a larger `buffer`, or give the channel an `overflow` policy."
        )


class ItemsMissed(AnyioStreamError):
    """A subgraph's projection was read too late: what it had kept for its reader was more than its bound.

    Attributes:
        count: How many items were dropped so far.
    """

    def __init__(self, channel: str, count: int, maxlen: float) -> None:
        super().__init__(
            f"{channel} kept the first {maxlen:g} items for a reader that did not come in time, and has dropped "
            f"{count}. Subscribe inside the body of the loop over `subgraphs`, or open the run with a larger `buffer`; "
            "output() and the other projections are good."
        )
        self.count = count


class PromiseUnresolved(AnyioStreamError, RuntimeError):
    """The run ended well, but the transformer never resolved its promise."""

    def __init__(self, promise: str) -> None:
        super().__init__(f"the run has ended and {promise} was never resolved. Resolve it in finalize() at the latest.")


class ItemsDroppedWarning(UserWarning):
    """A channel was subscribed after the run had finished, and items had passed by unread."""


class RunUnclosedWarning(ResourceWarning):
    """A run was entered and its block never left."""


class RunBlocksLoopWarning(RuntimeWarning):
    """A run was opened on the sync lane by a coroutine, so that the event loop stands still while the graph runs."""

    def __init__(self, run: str) -> None:
        super().__init__(
            f"`with open_run(...)` in a coroutine: {run} blocks the event loop while it runs, and its `output` is a "
            "property that is not awaited. Write `async with open_run(...) as run:`. If the sync lane is what you "
            "want, open the run in a plain function."
        )


class NotAwaitedWarning(RuntimeWarning):
    """An async method was called and its result dropped without an `await`."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} was called and never awaited, so it did nothing: write `await {what}`.")


# --- Transformers and projections ------------------------------------------------------------------------------


class InvalidProjection(AnyioStreamError, TypeError):
    """A transformer's `init()` returned something else than a dict."""

    def __init__(self, transformer: str, got: str) -> None:
        super().__init__(
            f"{transformer}.init() must return a dict of projection name -> channel or value, but returned {got}. "
            "Return {} for a transformer without projections."
        )


class ProjectionConflict(AnyioStreamError, ValueError):
    """Two transformers claim one projection name."""

    def __init__(self, transformer: str, owners: dict[str, str]) -> None:
        claims = ", ".join(f"{key!r} (owned by {owner})" for key, owner in sorted(owners.items()))
        super().__init__(
            f"{transformer} returned projection keys that conflict with already-registered keys: {claims}. "
            "Rename the key in init()."
        )


class PrebuiltTransformer(AnyioStreamError, TypeError):
    """A transformer instance was passed where a class or factory is needed."""

    def __init__(self, transformer: str, *, callable_wanted: bool = False) -> None:
        what = f"{transformer} is not callable" if callable_wanted else f"got a pre-built instance of {transformer}"
        super().__init__(
            f"transformers must be scope-aware callables, but {what}. Each subgraph gets an instance of its own: "
            "pass the class, or a factory like `lambda scope: MyTransformer(scope, ...)`."
        )


class NotATransformer(AnyioStreamError, TypeError):
    """Something else than transformer classes or factories was passed as `transformers`."""

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(
            f"{what} {problem}. `transformers` is a list of classes derived from anyiostream.StreamTransformer, or of "
            "factories like `lambda scope: MyTransformer(scope, ...)`."
        )


class ChildrenRefused(AnyioStreamError, RuntimeError):
    """A mux built from instances was asked for a child."""

    def __init__(self) -> None:
        super().__init__(
            "this StreamMux was constructed with `transformers=`, whose instances cannot be cloned to a subgraph's "
            "scope. Construct it with `factories=`."
        )


class AsyncTransformerRefused(AnyioStreamError, RuntimeError):
    """A transformer that needs an event loop was registered on the sync lane."""

    def __init__(self, transformer: str, reason: str) -> None:
        super().__init__(
            f"{transformer} requires an async run: {reason}. Open the run with `async with open_run(...)`, or set "
            "supports_sync = True if the plain hooks do the same work."
        )


class InvalidHook(AnyioStreamError, TypeError):
    """A hook has the wrong colour, or none at all."""

    def __init__(self, hook: str, problem: str) -> None:
        super().__init__(f"{hook} {problem}")


class ScheduleRefused(AnyioStreamError, RuntimeError):
    """`schedule()` was called where nothing can run the coroutine."""

    def __init__(self, transformer: str, why: str) -> None:
        super().__init__(
            f"{transformer}.schedule() requires a running event loop: {why}. Open the run with "
            "`async with open_run(...)`, and set requires_async = True on the class so that this is refused when the "
            "transformer is registered."
        )


class EmitterMisused(AnyioStreamError, RuntimeError):
    """An emitter was used outside its transformer's `process`."""

    def __init__(self, transformer: str) -> None:
        super().__init__(
            f"the emitter of {transformer} was used outside process() and aprocess(). Events may be synthesised only "
            "while the transformer handles one; elsewhere push to a named channel instead."
        )


class UnknownProjection(AnyioStreamError, KeyError):
    """`interleave()` or `extensions` was asked for a projection that no transformer registered."""

    def __init__(self, name: str, registered: Iterable[str]) -> None:
        registered = sorted(registered)
        self._text = (
            f"no projection {name!r}{suggestion(name, registered) or '.'} These are registered: "
            f"{', '.join(registered) or 'none'}. Pass the transformer that makes it to open_run."
        )
        super().__init__(name)

    def __str__(self) -> str:
        # KeyError shows the repr of its argument, which is no sentence.
        return self._text


class MissingProjection(AnyioStreamError, AttributeError):
    """A run was asked for an attribute that it does not have: a misspelt projection, or one that is not registered."""

    def __init__(self, owner: str, name: str, registered: Iterable[str], hint: str) -> None:
        super().__init__(
            f"{owner!r} object has no attribute {name!r}{hint} Its registered projections: "
            f"{', '.join(sorted(registered)) or 'none'}; look for others in `extensions`."
        )
        self.name = name


def suggestion(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """`; did you mean 'messages'?`, or nothing if nothing known is as like `name` as that, from 0 to 1."""
    from difflib import get_close_matches  # noqa: PLC0415 -- for a message only

    close = get_close_matches(name, list(known), n=1, cutoff=likeness)
    return f"; did you mean {close[0]!r}?" if close else ""


class NotAChannel(AnyioStreamError, TypeError):
    """`interleave()` was asked for a projection that is no channel."""

    def __init__(self, name: str, got: str) -> None:
        super().__init__(f"interleave() requires StreamChannel projections, but {name!r} is a {got}; read it directly.")


# --- Graphs, options, parts ------------------------------------------------------------------------------------


class NotAGraph(AnyioStreamError, TypeError):
    """`open_run` was given something that it cannot run."""

    def __init__(self, graph: object, lane: str, problem: str = "") -> None:
        super().__init__(
            f"cannot open a run of {type(graph).__name__} on the {lane} lane"
            + (f": {problem}" if problem else "")
            + ". A graph is a compiled LangGraph graph, an `async def graph(input, writer)`, a generator function, or "
            + ("an async iterable of parts." if lane == "async" else "an iterable of parts.")
        )


class MissingExtra(AnyioStreamError, ImportError):
    """A feature needs a package that an extra of this distribution installs."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs the extra `{extra}`: install this package with [{extra}].")


class UnknownOption(AnyioStreamError, TypeError):
    """`open_run` was given an option that this graph does not take."""

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"open_run() does not take {option!r} here: {reason}")


class InvalidBound(AnyioStreamError, ValueError):
    """A bound, in items, parts or branches, that is no bound."""

    def __init__(self, name: str, value: object, wanted: str) -> None:
        super().__init__(f"{name} must be {wanted}, got {value!r}. Pass such a value, or leave it out for the default.")


class MalformedPart(AnyioStreamError, TypeError):
    """The graph produced something that is no stream part.

    Attributes:
        part: The object itself.
    """

    def __init__(self, part: object, problem: str) -> None:
        shown = repr(part)
        super().__init__(
            f"malformed stream part: {problem}; got {shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '...'}. "
            "A part is {'type': str, 'ns': tuple of str, 'data': object}; the functions in anyiostream.parts build one."
        )
        self.part = part


_SHOWN = 200
"""Characters of a malformed part that its exception shows: a part may be megabytes."""


class WriterClosed(AnyioStreamError, RuntimeError):
    """A graph's writer was used when what it writes had ended."""

    def __init__(self, writer: str, ended: str) -> None:
        super().__init__(
            f"{writer} was used after {ended}, so nobody would read this. Await everything that writes before that: "
            "run it in a task group inside the block."
        )


class ForeignAwait(AnyioStreamError, RuntimeError):
    """On the sync lane, a graph or a hook awaited something that needs an event loop."""

    def __init__(self, what: str, awaited: object) -> None:
        super().__init__(
            f"{what} awaited {type(awaited).__name__}, but the sync lane has no event loop: there it may await its "
            "writer only. Open the run with `async with open_run(...)`."
        )
