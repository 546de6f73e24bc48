"""`StreamTransformer`, the extension point: watches a run's events and builds projections from them.

Borrowed from LangGraph's class of the same name, so that a transformer written for it runs here when its import line
is changed. New here: `methods` and `own_scope` (a transformer that declares what it reads is called for nothing
else), and `on_register`.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, TypeVar, final
from weakref import WeakKeyDictionary

import attrs

from anyiostream.channels.deltas import ReaderPort
from anyiostream.errors import EmitterMisused, InvalidHook, ScheduleRefused
from anyiostream.events import Namespace, ProtocolEvent, checked_namespace
from anyiostream.subgraphs import HandleMaker, SubgraphObserver

__all__ = [
    "Hooks",
    "OnError",
    "PayloadTransformer",
    "ScheduledTask",
    "Scheduler",
    "StreamEmitter",
    "StreamTransformer",
    "TransformerFactory",
    "TransformerPort",
    "builtin",
    "builtin_projections",
    "catches_up",
    "hooks_of",
    "reason_for_async",
]

T = TypeVar("T", bound="StreamTransformer")

HOOKS = ("process", "aprocess", "finalize", "afinalize", "fail", "afail", "on_register", "subgraph_observer")
AWAITED = {"aprocess", "afinalize", "afail"}
ENDING = ("finalize", "fail")

OnError = Literal["log", "raise"]
"""What an error of a scheduled coroutine does: it is logged once, or it fails the run."""


class ScheduledTask(Protocol):
    """A coroutine that a transformer scheduled."""

    def cancel(self) -> None:
        """Cancel it; it is still waited for before the run ends."""

    def done(self) -> bool:
        """Whether it has ended and everything it pushed has found its place."""
        ...


class Scheduler(Protocol):
    """What `schedule()` needs of the mux."""

    def schedule(
        self, transformer: StreamTransformer, coro: Coroutine[Any, Any, Any], on_error: OnError
    ) -> ScheduledTask:
        """Run `coro` beside the stream, on behalf of `transformer`."""
        ...


class TransformerPort(ReaderPort, Protocol):
    """What a transformer's own streams need of the run."""

    def assemble_message(self, events: Sequence[Mapping[str, Any]], message_id: str | None) -> Any:
        """The final message of a model call's events, in the graph's own class."""
        ...


class StreamTransformer(ABC):
    """Watches the events of one scope and of the scopes below it.

    Subclasses implement `init` and one of `process` and `aprocess`. On the async lane the mux calls the async hook if
    it is overridden, else the plain one; on the sync lane always the plain one. Channels and promises in the
    projection are ended by the mux, so most transformers need no `finalize` or `fail`.

    For asynchronous work, override `aprocess` if the next transformer must see its result, or call `schedule` if the
    result goes to a channel of its own.

    Attributes:
        scope: Namespace the transformer works at; `()` for the root.
        requires_async: Refuse the sync lane even though no async hook is overridden, for example because `process`
            calls `schedule`.
        supports_sync: Accept the sync lane even though an async hook is overridden: the plain hooks do the same.
        required_stream_modes: Stream modes that the graph is asked for on behalf of this transformer.
        before_builtins: Run before the built-in transformers, so that what it changes in an event is what they see.
            It may change payloads that no built-in keeps books with (a message's text, say), not namespaces or the
            ids of tasks.
        methods: The methods whose events the transformer reads; `None` for all. It is not called for others.
        own_scope: Whether it reads events of its own scope only, not of the scopes below.
    """

    requires_async: ClassVar[bool] = False
    supports_sync: ClassVar[bool] = False
    required_stream_modes: ClassVar[tuple[str, ...]] = ()
    before_builtins: ClassVar[bool] = False
    methods: ClassVar[Collection[str] | None] = None
    own_scope: ClassVar[bool] = False
    _native: ClassVar[bool] = False

    def __init__(self, scope: Namespace = ()) -> None:
        """Make an instance for one scope; the mux does this, for each scope."""
        self.scope: Namespace = scope

    @abstractmethod
    def init(self) -> dict[str, Any]:
        """The projections: name -> `StreamChannel`, `Promise` or any other value.

        Called once, at registration. The names become keys of `run.extensions`, and attributes of the run as well
        if the transformer is native (`_native = True`).
        """

    def on_register(self, emitter: StreamEmitter) -> None:  # noqa: B027 -- optional
        """Called once after registration, with the means to synthesise events. Does nothing by default."""

    def process(self, event: ProtocolEvent) -> bool:  # noqa: ARG002 -- for subclasses
        """Handle an event, in registration order, before it enters the raw log.

        Returns:
            Whether the event stays in the raw log. Later transformers see it either way.

        An exception fails the run and reaches its readers as it is, with a note that names the transformer.
        """
        raise InvalidHook(f"{type(self).__name__}", "must override process() or aprocess(), whichever its work needs.")

    async def aprocess(self, event: ProtocolEvent) -> bool:
        """As `process`, on the async lane; the next transformer is called after it has returned.

        Runs in a task of the run's own: a reader's cancellation does not reach it. Leaving the run does.
        """
        return self.process(event)

    def finalize(self) -> None:  # noqa: B027 -- optional
        """The graph has ended well. Called once, unless `fail` is, before the projections are ended."""

    async def afinalize(self) -> None:
        """As `finalize`, on the async lane. Everything scheduled has ended by then."""
        self.finalize()

    def fail(self, err: BaseException) -> None:  # noqa: B027 -- optional
        """The run ends early: the graph or a transformer failed with `err`, or the run was aborted (`RunAborted`).

        Called once, unless `finalize` is. An exception raised here does not replace `err`; it is reported when the
        run's block is left.
        """

    async def afail(self, err: BaseException) -> None:
        """As `fail`, on the async lane. Everything scheduled has been cancelled by then.

        Shielded from cancellation for a grace period of 5 s, then cancelled, and logged by name.
        """
        self.fail(err)

    def schedule(self, coro: Coroutine[Any, Any, Any], *, on_error: OnError = "log") -> ScheduledTask:
        """Run a coroutine beside the stream, in the run's nursery.

        The run ends only after all that was scheduled has ended, including what that schedules; a run that fails or
        is aborted cancels it. At most 100 coroutines run at a time, the rest queue in order.

        Args:
            coro: The coroutine; closed if the call is refused.
            on_error: `"log"`: an exception is logged once. `"raise"`: it fails the run, whenever it happens.

        Raises:
            ScheduleRefused: On the sync lane, before registration, or when the run has ended.
            InvalidHook: `coro` is no coroutine: the function was passed without calling it.
        """
        if not isinstance(coro, Coroutine):
            raise InvalidHook(
                f"{type(self).__name__}.schedule()",
                f"takes a coroutine, got a {type(coro).__name__}. Call the function: `self.schedule(self.work(...))`.",
            )
        scheduler: Scheduler | None = vars(self).get("_scheduler")
        if scheduler is None:
            coro.close()
            raise ScheduleRefused(type(self).__name__, "the transformer is not registered with a run yet")
        return scheduler.schedule(self, coro, on_error)

    def subgraph_observer(self, maker: HandleMaker) -> SubgraphObserver | None:  # noqa: ARG002 -- for subclasses
        """What the mux tells of subgraphs that start and end, in place of calling `process` with `tasks` events."""
        return None

    def connect(self, port: TransformerPort) -> None:  # noqa: B027 -- optional
        """Called once at registration, with what readers inside a projection advance the run with."""

    @final
    def attach(self, scheduler: Scheduler) -> None:
        """Let `schedule` work. Called by the mux at registration, also where `__init__` was not."""
        vars(self)["_scheduler"] = scheduler


TransformerFactory = Callable[[Namespace], StreamTransformer]
"""Makes a transformer for a scope. A transformer class is one, and so is `functools.partial(MyTransformer, ...)`."""


class PayloadTransformer(StreamTransformer):
    """A transformer that needs no more of an event than its `data`, at its own scope, and never suppresses it.

    The mux hands it the payload without building an event, which is several times faster when nobody reads the raw
    log. Subclasses set `methods` and implement `consume`.
    """

    own_scope = True
    methods: ClassVar[Collection[str]] = ()  # pyright: ignore[reportIncompatibleVariableOverride]  # never `None` here

    @abstractmethod
    def consume(self, data: Any) -> None:
        """Handle the payload of one event."""

    def consumer(self) -> Callable[[Any], object]:
        """What the mux calls with each payload: `consume`, or something faster that does the same.

        Asked for again whenever somebody has started or stopped reading a projection of the scope.
        """
        return self.consume

    def process(self, event: ProtocolEvent) -> bool:
        """Handle an event, for callers that have one."""
        if event["method"] in self.methods and tuple(event["params"]["namespace"]) == self.scope:
            self.consume(event["params"]["data"])
        return True


@final
class StreamEmitter:
    """Lets a transformer synthesise events while it handles one. Borrowed from LangGraph.js.

    The event passes through every transformer, this one included, right after the current hook has returned, and
    enters the raw log before the event being handled.
    """

    __slots__ = ("_emit", "_owner")

    def __init__(self, owner: str, emit: Callable[[Namespace, ProtocolEvent], bool]) -> None:
        self._owner = owner
        self._emit = emit

    def push(self, namespace: Namespace, event: ProtocolEvent) -> None:
        """Synthesise `event` at `namespace`, which replaces the event's own. Inside `process` or `aprocess` only.

        Raises:
            EmitterMisused: The transformer is not handling an event just now.
            MalformedPart: `namespace` is no tuple or list of strings.
        """
        if not self._emit(checked_namespace(namespace, namespace), event):
            raise EmitterMisused(self._owner)


@final
@attrs.frozen(eq=False)
class Hooks:
    """Which hooks a transformer's class defines itself.

    Looked up once per class: a mux is made for each subgraph.

    Attributes:
        overridden: Their names.
        awaited: Those of them that are awaited on the async lane.
        ends_async: Whether its end may have to be awaited there.
        ends: Whether there is a hook to be called at its end.
    """

    overridden: frozenset[str]
    awaited: frozenset[str]
    ends_async: bool
    ends: bool

    def ending(self, hook: str, *, is_async: bool) -> str | None:
        """`hook`, or its async variant where that is what is overridden; `None` if neither is."""
        if is_async and "a" + hook in self.awaited:
            return "a" + hook
        return hook if hook in self.overridden else None


_hooks: WeakKeyDictionary[type[StreamTransformer], Hooks] = WeakKeyDictionary()


def hooks_of(kind: type[StreamTransformer]) -> Hooks:
    """The hooks of a transformer's class."""
    hooks = _hooks.get(kind)
    if hooks is None:
        overridden = frozenset(hook for hook in HOOKS if getattr(kind, hook) is not getattr(StreamTransformer, hook))
        awaited = overridden & AWAITED
        ends_async = bool(awaited) or any(inspect.iscoroutinefunction(getattr(kind, hook)) for hook in ENDING)
        ends = not overridden.isdisjoint({*ENDING, *("a" + hook for hook in ENDING)})
        hooks = _hooks[kind] = Hooks(overridden, awaited, ends_async, ends)
    return hooks


def reason_for_async(transformer: StreamTransformer) -> str | None:
    """Why the transformer cannot run on the sync lane, or `None` if it can."""
    if transformer.requires_async:
        return "it sets requires_async = True"
    awaited = hooks_of(type(transformer)).awaited
    if transformer.supports_sync or not awaited:
        return None
    return f"it overrides {' and '.join(hook for hook in HOOKS if hook in awaited)}"


_builtins: dict[type[StreamTransformer], tuple[str, ...]] = {}
_late: set[type[StreamTransformer]] = set()


def builtin(*projections: str, late: bool = False) -> Callable[[type[T]], type[T]]:
    """Mark a transformer of the library's own, which does nothing but fill projections, and say which.

    Where nobody can see these, it need not run; and it need not be made before there is something for them. If it can
    be `late`, it need not be made before somebody reads them: its observer is a `LateObserver`.
    """

    def mark(transformer: type[T]) -> type[T]:
        _builtins[transformer] = projections
        if late:
            _late.add(transformer)
        return transformer

    return mark


def builtin_projections(kind: type[Any]) -> tuple[str, ...]:
    """The projections of one of the library's own transformers; of any other class, also a subclass of one, none."""
    return _builtins.get(kind, ())


def catches_up(kind: type[Any]) -> bool:
    """Whether its observer may be made late, and told then what it has missed."""
    return kind in _late
