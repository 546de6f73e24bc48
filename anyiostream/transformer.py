"""`StreamTransformer`, the extension point: watches a run's events and builds projections from them.

Borrowed from LangGraph's class of the same name, so that a transformer written for it runs here when its import line
is changed. New here: `methods` and `own_scope` (a transformer that declares what it reads is not called for anything
else), and `on_register`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, ClassVar, Literal, Protocol, TypeVar, final

from anyiostream.channels.port import Port
from anyiostream.errors import EmitterMisused, InvalidHook, ScheduleRefused
from anyiostream.events import Namespace, ProtocolEvent, checked_namespace
from anyiostream.state import GraphState
from anyiostream.subgraphs import HandleMaker, SubgraphObserver

__all__ = [
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
]

T = TypeVar("T", bound="StreamTransformer")


OnError = Literal["log", "raise"]
"""What an error of a scheduled coroutine does: it is logged once, or it fails the run."""


class ScheduledTask(Protocol):
    """A coroutine that a transformer scheduled.

    ```python
    class Translate(StreamTransformer):
        methods = ("custom",)
        requires_async = True

        def init(self):
            self.done = StreamChannel()
            return {"translations": self.done}

        def process(self, event):
            task = self.schedule(self.translate(event["params"]["data"]))
            assert not task.done()
            return True

        async def translate(self, text):
            await self.done.send(text.upper())

    async with open_run([parts.custom("hello")], transformers=[Translate]) as run:
        assert [text async for text in run.extensions["translations"]] == ["HELLO"]
    ```
    """

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


class TransformerPort(Port, Protocol):
    """What a transformer's own streams need of the run."""

    def assemble_message(self, record: Any) -> Any:
        """The final message of a model call's record, in the graph's own class."""
        ...


class TaskWatch(Protocol):
    """What a transformer needs of the mux if it has something open until a task ends."""

    def watch(self, namespace: Namespace, watcher: Callable[[Mapping[str, Any]], None]) -> None:
        """Call `watcher` with the payload of each task's result at `namespace`, until `unwatch`."""

    def unwatch(self, namespace: Namespace, watcher: Callable[[Mapping[str, Any]], None]) -> None:
        """Stop calling it."""


class StreamTransformer(ABC):
    """Watches the events of one scope and of the scopes below it.

    Subclasses implement `init` and one of `process` and `aprocess`. On the async lane the mux calls the async hook if
    it is overridden, else the plain one; on the sync lane always the plain one. Channels and promises in the
    projection are ended by the mux, so most transformers need no `finalize` or `fail`.

    For asynchronous work, override `aprocess` if the next transformer must see its result, or call `schedule` if the
    result goes to a channel of its own.

    ```python
    class WordCount(StreamTransformer):
        required_stream_modes = methods = ("custom",)

        def init(self):
            self.counts = StreamChannel()
            return {"counts": self.counts}

        def process(self, event):
            self.counts.push(len(event["params"]["data"].split()))
            return True

    with open_run([parts.custom("two words")], transformers=[WordCount]) as run:
        assert list(run.extensions["counts"]) == [2]
    ```

    Attributes:
        scope: Namespace the transformer works at; `()` for the root.
        requires_async: Refuse the sync lane even though no async hook is overridden, for example because `process`
            calls `schedule`.
        supports_sync: Accept the sync lane even though an async hook is overridden: the plain hooks do the same.
        required_stream_modes: Stream modes that the graph is asked for on behalf of this transformer.
        before_builtins: Run before the built-in transformers, so that what it changes in an event is what they see.
            It may change payloads such as a message's text, but not namespaces or the ids of tasks, which built-ins
            track.
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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse names that are written as one string.

        Raises:
            InvalidHook: `required_stream_modes` or `methods` is a string.
        """
        super().__init_subclass__(**kwargs)
        for attribute in ("required_stream_modes", "methods"):
            names = getattr(cls, attribute)
            if isinstance(names, str):
                raise InvalidHook(
                    f"{cls.__name__}.{attribute}",
                    f"is the string {names!r}, which would be read letter by letter. Write {attribute} = ({names!r},).",
                )

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
        """The run ends early: the graph or a transformer failed with `err`, or the run was stopped.

        `err` is `RunAborted` then, or `RunDrained` if it stopped at the end of a step, as it had been asked to. Called
        once, unless `finalize` is. An exception raised here does not replace `err`; it is reported when the
        run's block is left.
        """

    async def afail(self, err: BaseException) -> None:
        """As `fail`, on the async lane. Everything scheduled has been cancelled by then.

        Shielded from cancellation for the run's `grace` (5 s), then cancelled, and logged by name.
        """
        self.fail(err)

    def schedule(self, coro: Coroutine[Any, Any, Any], *, on_error: OnError = "log") -> ScheduledTask:
        """Run a coroutine beside the stream, in the run's nursery.

        The run ends only after all that was scheduled has ended, including what that schedules; a run that fails or
        is aborted cancels it. At most `max_scheduled` of the run's (100) run at a time, the rest queue in order.

        Args:
            coro: The coroutine; closed if the call is refused.
            on_error: `"log"`: an exception is logged once. `"raise"`: it fails the run, whenever it happens.

        Raises:
            ScheduleRefused: On the sync lane, before registration, or when the run has ended.
            InvalidHook: `coro` is not a coroutine: the function was passed without calling it.
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
        """What is called when subgraphs start and end, instead of `process` with `tasks` events; `None` for most."""
        return None

    def connect(self, port: TransformerPort) -> None:  # noqa: B027 -- optional
        """Called once at registration, with what readers inside a projection advance the run with."""

    def watch_tasks(self, tasks: TaskWatch) -> None:  # noqa: B027 -- optional
        """Called once at registration, with what tells of tasks that end. The library's own transformers use it."""

    def watch_state(self, state: GraphState) -> None:  # noqa: B027 -- optional
        """Called once at registration, with the state of the scope's graph. The library's own transformers use it."""

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

    ```python
    class Lengths(PayloadTransformer):
        required_stream_modes = methods = ("custom",)

        def init(self):
            self.lengths = StreamChannel()
            return {"lengths": self.lengths}

        def consume(self, data):
            self.lengths.push(len(data))

    with open_run([parts.custom("four")], transformers=[Lengths]) as run:
        assert list(run.extensions["lengths"]) == [4]
    ```
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

    ```python
    class Announce(StreamTransformer):
        methods = ("custom",)

        def init(self):
            return {}

        def on_register(self, emitter):
            self.emitter = emitter

        def process(self, event):
            noticed = convert_to_protocol_event({"type": "noticed", "ns": (), "data": event["params"]["data"]})
            self.emitter.push((), noticed)
            return True

    with open_run([parts.custom("hello")], transformers=[Announce]) as run:
        assert [event["method"] for event in run] == ["noticed", "custom"]
    ```
    """

    __slots__ = ("_emit", "_owner")

    def __init__(self, owner: str, emit: Callable[[Namespace, ProtocolEvent], bool]) -> None:
        self._owner = owner
        self._emit = emit

    def push(self, namespace: Namespace, event: ProtocolEvent) -> None:
        """Synthesise `event` at `namespace`, which replaces the event's own. Inside `process` or `aprocess` only.

        Raises:
            EmitterMisused: The transformer is not handling an event just now.
            MalformedPart: `namespace` is not a tuple or list of strings.
        """
        if not self._emit(checked_namespace(namespace, namespace), event):
            raise EmitterMisused(self._owner)


_builtins: dict[type[StreamTransformer], tuple[str, ...]] = {}
_late: set[type[StreamTransformer]] = set()


def builtin(*projections: str, late: bool = False) -> Callable[[type[T]], type[T]]:
    """Mark a transformer as one of the library's own, which only fills the given projections.

    If no reader can see these, it need not run; and it need not be made before there is something to show. If it can be
    `late`, it need not be made before a reader asks for them: its observer is a `LateObserver`.
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
