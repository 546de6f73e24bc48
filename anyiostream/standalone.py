"""`StreamMux` by itself: for tests of transformers, and for programs that have events but no graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast, final

from anyiostream.channels.channel import StreamChannel
from anyiostream.driver.context_entry import enter
from anyiostream.driver.hosting import Host
from anyiostream.errors import ChannelFull, InvalidHook
from anyiostream.events import Namespace, ProtocolEvent
from anyiostream.inline import run_inline
from anyiostream.lanes.async_run import AsyncRun
from anyiostream.lanes.async_streams import AsyncSubgraphRunStream
from anyiostream.lanes.sync_run import SyncRun
from anyiostream.lanes.sync_streams import SubgraphRunStream
from anyiostream.loops import current_loop
from anyiostream.outcome import COMPLETED, Outcome
from anyiostream.projections.messages.assembling import assemble_chat_message
from anyiostream.source import NONE_AT_HAND, NOTHING
from anyiostream.transformer import StreamTransformer, TransformerFactory

if TYPE_CHECKING:
    from anyiostream.loops.interface import Loop

__all__ = ["StreamMux"]


@final
class StreamMux:
    """Routes events that the caller pushes through transformers.

    As LangGraph's class of the same name. Transformers run in registration order, those with `before_builtins` first;
    an event that none of them suppresses enters the raw log, `events`. There is no graph to run: a reader gets what has
    been pushed, and then waits (async) or stops (sync).

    Attributes:
        is_async: The lane.
        scope: Namespace whose level is the mux's own.
        events: The raw log.
        extensions: Projection name -> channel, promise or other value.
        native_keys: Names of the native transformers' projections.
    """

    def __init__(
        self,
        transformers: Sequence[StreamTransformer] | None = None,
        *,
        is_async: bool = False,
        factories: Sequence[TransformerFactory] | None = None,
        scope: Namespace = (),
        maxlen: float = 64,
    ) -> None:
        """Register the transformers.

        Args:
            transformers: Instances, for this scope only.
            is_async: The lane.
            factories: Classes or factories; subgraphs get instances of their own.
            scope: The namespace; by default that of the instances, if they agree on one.
            maxlen: Bound, in items, of channels that are created without one.

        Raises:
            AnyioStreamError: As `open_run` when it is entered.
        """
        made = list(factories) if factories is not None else None
        given = list(transformers or ())
        if not scope and not made:
            scope = _common_scope(given)
        self.is_async: Final = is_async
        self.scope: Final = scope
        self._run: SyncRun | AsyncRun
        if is_async:
            self._run = AsyncRun(
                cast("Loop", DeferredLoop()),  # delegates to one
                made,
                lambda _: NoSource(),
                AsyncSubgraphRunStream,
                transformers=given,
                maxlen=maxlen,
                scope=scope,
                checkpoint_every=32,
            )
        else:
            self._run = SyncRun(
                made, lambda _: NoSource(), SubgraphRunStream, transformers=given, maxlen=maxlen, scope=scope
            )
        self._mux = self._run.pump.mux
        self.events: Final[StreamChannel[ProtocolEvent]] = self._mux.events
        self.extensions: Final[dict[str, Any]] = self._mux.extensions
        self.native_keys: Final[set[str]] = set(self._mux.registry.native_keys)

    def transformer_by_key(self, key: str) -> StreamTransformer | None:
        """The transformer that contributed the projection `key`."""
        return self._mux.registry.transformer_by_key(key)

    def push(self, event: ProtocolEvent) -> None:
        """Take an event through the transformers.

        Raises:
            ChannelFull: The last event's items still wait for a reader.
            InvalidHook: A transformer must be awaited; use `apush`.
            RunWaitsForItself, RunBusy: A hook of this mux calls it, or another thread is at work in it.
            BaseException: Whatever a transformer raises, with a note that names it.
        """
        for full in self._run.pump.producer.full:
            raise ChannelFull(full.name, full.maxlen, waiting=self._run.pump.producer.pending)
        waiting = enter(self._run, "push()", self._mux.dispatch.dispatch_event, event)
        if waiting is not None:
            waiting.close()
            raise InvalidHook("push()", "cannot await this mux's transformers; use apush().")

    def close(self) -> None:
        """End well: finalize the transformers, close the projections and the raw log.

        Raises:
            BaseException: The first error of a `finalize`, when everything has been closed.
        """
        self._finish(COMPLETED)

    def fail(self, err: BaseException) -> None:
        """End with an error: every reader gets its items and then `err`."""
        self._finish(Outcome.by(err))

    async def apush(self, event: ProtocolEvent) -> None:
        """As `push`, awaiting hooks, and waiting while the last event's items wait for a reader."""
        assert isinstance(self._run, AsyncRun)
        await self._run.room()
        waiting = enter(self._run, "apush()", self._mux.dispatch.dispatch_event, event)
        if waiting is not None:
            await waiting

    async def aclose(self) -> None:
        """As `close`, after everything scheduled has ended."""
        await self._finish_async(COMPLETED)

    async def afail(self, err: BaseException) -> None:
        """As `fail`, after everything scheduled has been cancelled."""
        await self._finish_async(Outcome.by(err))

    def _finish(self, outcome: Outcome) -> None:
        enter(self._run, "the mux's end", lambda: run_inline(self._run.pump.end(outcome), "a transformer's hook"))
        self._raise_failure(outcome)

    async def _finish_async(self, outcome: Outcome) -> None:
        await self._run.pump.end(outcome)
        self._raise_failure(outcome)

    def _raise_failure(self, outcome: Outcome) -> None:
        if outcome.error is None:
            self._run.pump.result()


def _common_scope(transformers: Sequence[StreamTransformer]) -> Namespace:
    """The scope that instances have been made for, if they agree; those without one adopt that of the others."""
    scopes = {scope for scope in (getattr(each, "scope", ()) for each in transformers) if scope}
    return scopes.pop() if len(scopes) == 1 else ()


@final
class NoSource:
    """There is no graph to demand anything of."""

    name = "no graph"
    spawns = False
    has_part = False
    never_waits = False
    at_hand = NONE_AT_HAND
    read_ahead = 0
    assemble_message = staticmethod(assemble_chat_message)

    def pull(self) -> Any:
        """Nothing."""
        return NOTHING

    def start(self, host: Host) -> None:
        """Nothing runs."""

    def demand(self) -> None:
        """There is no graph to ask."""

    def request_drain(self, reason: str) -> None:
        """Nothing is asked: nobody has the run."""

    def abort_subgraph(self, namespace: Namespace) -> bool:  # noqa: ARG002 -- a source's method
        """Nothing to stop."""
        return False

    def stop(self) -> None:
        """Nothing to stop."""

    def stop_again(self) -> None:
        """Nothing to stop."""

    def close_now(self) -> None:
        """Nothing to close."""

    async def close(self) -> None:
        """Nothing to close."""


@final
class DeferredLoop:
    """The event loop that runs when it is first needed: a mux may be made before there is one."""

    def __init__(self) -> None:
        self._loop: Loop | None = None

    def from_any_thread(self, call: Callable[[], object]) -> None:
        """Make a call in the loop's thread, or here if there has never been one."""
        if self._loop is None:
            call()
        else:
            self._loop.from_any_thread(call)

    def __getattr__(self, name: str) -> Any:
        """The loop's attribute."""
        if self._loop is None:
            self._loop = current_loop()
        return getattr(self._loop, name)
