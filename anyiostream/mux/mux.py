"""`Mux`: one scope's transformers, their projections, and its raw log; and how that scope ends.

Rules:

- The root's mux is made with the run. A child's is made when its subgraph starts, if a reader could see it; it ends
  with the subgraph and is then forgotten.
- A mux joins the parts of its scope (`Scope`, `Registry`) with those of the run (`Dispatch`, `SubgraphFollower`,
  `ScheduledWork`, `Closings`). It calls them; none of them calls it. Only transformers that show subgraphs do, to which
  it is a `HandleMaker`.
- A mux ends once: each transformer gets exactly one of `finalize` and `fail`, after its last event; then the channels
  and promises end; then the raw log does.
- Hooks that are plain functions are called, not awaited. `end` is a coroutine because others are; if all are plain and
  nothing is scheduled, it does not suspend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.producer import FullBuffer
from anyiostream.errors import ChildrenRefused
from anyiostream.events import Namespace, ProtocolEvent
from anyiostream.mux.closing import EndScope
from anyiostream.mux.dispatch import Dispatch
from anyiostream.mux.ending_hooks import call_ending_hooks
from anyiostream.mux.following import SubgraphFollower
from anyiostream.mux.ports import RunPort
from anyiostream.mux.registry import Registry
from anyiostream.mux.run_state import RunState
from anyiostream.mux.scheduled import MAX_RUNNING
from anyiostream.mux.scope import Scope
from anyiostream.mux.tree import Tree
from anyiostream.outcome import Outcome
from anyiostream.state import GraphState
from anyiostream.statistics import ChannelStatistics
from anyiostream.subgraph_tracker import SubgraphTracker
from anyiostream.subgraphs import Handle, Subgraph
from anyiostream.transformer import StreamTransformer, TransformerFactory

__all__ = ["Mux"]


@final
class Mux:
    """The transformers of one scope.

    Attributes:
        scope: Its place in the tree.
        state: The state of the graph at its scope.
        registry: Its transformers, and their projections.
        handle: The run stream over it, if it is a child.
        dispatch: Dispatches the run's parts.
        follower: Follows the run's subgraphs.
    """

    __slots__ = (
        "_factories",
        "_make_handle",
        "_muxes",
        "_run",
        "_tree",
        "dispatch",
        "follower",
        "handle",
        "registry",
        "scope",
        "state",
    )

    def __init__(
        self,
        port: RunPort,
        *,
        factories: Sequence[TransformerFactory] | None,
        make_handle: Callable[[Mux, Subgraph], Handle],
        transformers: Sequence[StreamTransformer] = (),
        namespace: Namespace = (),
        parent: Mux | None = None,
        max_scheduled: float = MAX_RUNNING,
    ) -> None:
        """Make the mux of a run's root, or of a subgraph if there is a `parent`.

        Args:
            port: The run, as its lane sees it.
            factories: What makes the transformers of each scope; `None` if there are only instances, which cannot be
                cloned for subgraphs.
            make_handle: Makes the run stream over a subgraph's mux.
            transformers: Instances, registered after those.
            namespace: The namespace of its graph.
            max_scheduled: How many scheduled coroutines of the run run at a time.
            parent: The mux above.

        Raises:
            PrebuiltTransformer, InvalidProjection, ProjectionConflict, AsyncTransformerRefused, InvalidHook,
            AlreadyBound: As the names say.
        """
        self.handle: Handle | None = None
        self._factories = factories
        self._make_handle = make_handle
        if parent is None:
            self.scope = Scope(namespace, None, port.stamp)
            self._run = RunState(port, max_scheduled)
            self.registry = Registry(self.scope, None, self._run, self)
            tracker = SubgraphTracker(namespace)
            self._tree = Tree(self.registry, tracker)
            self.follower = SubgraphFollower(self._tree, tracker, self._run.task_ends)
            self.dispatch = Dispatch(self._tree, self.follower, tracker, self._run)
            # Namespace -> mux of a subgraph, in the order in which they were made.
            self._muxes: dict[Namespace, Mux] = {}
        else:
            self.scope = Scope(namespace, parent.scope, port.stamp)
            self._run, self._tree, self._muxes = parent._run, parent._tree, parent._muxes  # noqa: SLF001 -- of its own class
            self.follower, self.dispatch = parent.follower, parent.dispatch
            self.registry = Registry(self.scope, parent.registry, self._run, self)
            # The run finds it at its end even if an interrupt comes before anything else refers to it.
            self._muxes[namespace] = self
            self._tree.enter(self.registry)
        self.state: GraphState = self.scope.state
        self.registry.register(factories or (), transformers)
        if port.is_async and (self.registry.any_async or not self.registry.all_builtin):
            # Hooks may have to be awaited: those of a subgraph at its end, and those of an event after that.
            self._tree.let_ends_wait()

    @property
    def events(self) -> StreamChannel[ProtocolEvent]:
        """The raw log."""
        return self.registry.log.channel

    @property
    def extensions(self) -> dict[str, Any]:
        """Projection name -> channel, promise or other value, over all transformers."""
        return self.registry.projections()

    def made_channels(self) -> list[StreamChannel[Any]]:
        """The raw log and the channels of the projections that have been made."""
        log = self.registry.log.made
        made = list(self.registry.made_channels())
        return made if log is None else [log, *made]

    def channel_statistics(self) -> dict[str, ChannelStatistics]:
        """The figures of the raw log, and of the projections that are channels."""
        channels = {"events": self.events, **self.extensions}
        return {name: each.statistics() for name, each in channels.items() if isinstance(each, StreamChannel)}

    # --- subgraphs ---

    @property
    def shows_children(self) -> bool:
        """Whether the user's own transformers are registered for subgraphs too, so that these need a mux."""
        return not self.registry.all_builtin

    @property
    def can_show_children(self) -> bool:
        """Whether a child can be made: instances cannot be cloned to its scope."""
        return self._factories is not None

    def make_child(self, namespace: Namespace) -> Mux:
        """The mux of a subgraph, with its own transformers, made by the same factories.

        Raises:
            ChildrenRefused: This mux was made from instances.
            Whatever a transformer raises.
        """
        if self._factories is None:
            raise ChildrenRefused
        return Mux(
            self._run.port,
            factories=self._factories,
            make_handle=self._make_handle,
            namespace=namespace,
            parent=self,
        )

    def open_handle(self, subgraph: Subgraph, channel: StreamChannel[Any]) -> Handle:
        """The handle of a subgraph directly below that has started; `channel` is where its reader will get it.

        The mux and the handle are made at the first call; a second projection shows the same handle.
        """
        child = self._muxes.get(subgraph.namespace)
        if child is None:
            child = self.make_child(subgraph.namespace)
            child.handle = self._make_handle(child, subgraph)
        if channel.watched:
            child.registry.retain()
            tasks = self._run.port.task_port
            if tasks is not None:
                tasks.hold(channel)
        assert child.handle is not None
        return child.handle

    # --- scheduled work ---

    @property
    def scheduled_count(self) -> int:
        """How many coroutines that transformers of the run have scheduled have not ended."""
        scheduled = self._run.scheduled
        return 0 if scheduled is None else len(scheduled)

    @property
    def has_scheduled(self) -> bool:
        """Whether one of them is left, or the end of a subgraph that waited for some."""
        return bool(self._run.scheduled)

    @property
    def is_draining(self) -> bool:
        """Whether the run waits for them to end."""
        scheduled = self._run.scheduled
        return scheduled is not None and scheduled.draining

    def stalled_by(self) -> list[FullBuffer]:
        """The buffers that keep the run from ending: all scheduled work that is left waits for room in them."""
        scheduled = self._run.scheduled
        return [] if scheduled is None else scheduled.stalled_by()

    def refuse_work(self) -> None:
        """The run has ended: nothing more may be scheduled."""
        scheduled = self._run.scheduled
        if scheduled is not None:
            scheduled.close()

    # --- the end ---

    @property
    def must_wait(self) -> bool:
        """Whether ending this mux now has to wait for hooks or scheduled work."""
        return self.registry.any_async or self.is_outlasted

    @property
    def is_outlasted(self) -> bool:
        """Whether scheduled work is left of this scope or of those below."""
        scheduled = self._run.scheduled
        return scheduled is not None and bool(scheduled) and scheduled.busy(self.scope.lineage)

    @property
    def ends_silently(self) -> bool:
        """Whether a good end takes no more than `end_silently`: no hook is to be called, nothing to be waited for."""
        tasks = self._run.port.task_port
        return (
            self.registry.ends_silently
            and not self.scope.children
            and not self._run.scheduled
            and (tasks is None or tasks.interjected is None)
            and (self.scope.parent is not None or not (self._muxes or self.follower.busy))
        )

    def end_beside(self, end: EndScope, outcome: Outcome) -> None:
        """Let `end`, which calls `end()`, wait for the remaining scheduled work while the run goes on.

        No further event reaches this mux.
        """
        self._leave()
        assert self._run.scheduled is not None
        self._run.close_after(self._run.scheduled).begin(self.scope, end, outcome)

    async def cut_short(self, outcome: Outcome) -> None:
        """After `end_beside`: cancel the remaining work and end now, with `outcome`. Does nothing if it has ended."""
        if self._run.closings is not None:
            await self._run.closings.cut_short(self.scope.lineage, outcome)

    async def end(self, outcome: Outcome) -> tuple[Outcome, list[BaseException]]:
        """Drain or cancel scheduled work, call the hooks, end the projections and the log.

        Idempotent. If cancelled, it may be called again, and continues where it stopped.

        Returns:
            The resulting outcome: scheduled work that fails, or the first hook that raises, turns success into failure.
            And the other errors of hooks, in order.
        """
        if self.scope.ended:
            return outcome, []
        tasks, scheduled, closings = self._run.port.task_port, self._run.scheduled, self._run.closings
        lineage = self.scope.lineage
        if outcome.error is None:
            if scheduled:
                await scheduled.drain(lineage)
            if tasks is not None and tasks.interjected is not None:
                outcome = Outcome.by(tasks.interjected)
        if outcome.error is not None:
            if closings is not None:
                closings.cut(lineage)
            if scheduled:
                await scheduled.cancel(lineage)
            if closings is not None:
                await closings.finish(lineage, outcome)
        end_subgraphs = self._end_subgraphs if self.scope.parent is None else None
        errors = await call_ending_hooks(self.registry.used(), tasks, outcome, end_subgraphs)
        if errors and outcome.error is None:
            outcome = Outcome.by(errors.pop(0))
        self.end_silently(outcome)
        return outcome, errors

    def end_silently(self, outcome: Outcome) -> None:
        """End the projections and the log. Hooks and scheduled work are done."""
        self.scope.ended = True
        self.registry.end(outcome)
        self._leave()

    async def _end_subgraphs(self, outcome: Outcome) -> None:
        """The run ends: end the subgraphs that are open.

        Raises:
            BaseException: The first error of an observer, when all have ended.
        """
        first: Exception | None = None
        try:
            await self.follower.end_all(outcome)
        except Exception as exc:  # noqa: BLE001 -- raised below
            first = exc
        for mux in reversed(list(self._muxes.values())):
            # An interrupt has cut off its start or its end, so that no observer was called. Inner before outer.
            await mux.end(outcome)
        if first is not None:
            raise first

    def _leave(self) -> None:
        if self.scope.parent is not None:
            namespace = self.scope.namespace
            self._tree.leave(self.registry)
            # A later mux may have its namespace now.
            if self._muxes.get(namespace) is self:
                del self._muxes[namespace]
