"""Testing one transformer: feed it a script, look at its projections.

Rules:

- The transformer runs in a real run, with the built-in ones before it, so that what a test sees is what a program does.
- All buffers are unbounded, and the raw log and every projection of the transformer are subscribed before the first
  part.
- An error of the script's own is a result (`Recording.error`); any other leaves `feed` as it leaves a run.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast, final

from anyiostream import (
    AsyncGraphRunStream,
    GraphRunStream,
    Namespace,
    PayloadTransformer,
    Promise,
    ProtocolEvent,
    StreamChannel,
    StreamTransformer,
    TransformerFactory,
    open_run,
)
from anyiostream.errors import PromiseUnresolved
from anyiostream.testing.recording import Recording, arecord, record
from anyiostream.testing.sources import ScriptedSource, Step
from anyiostream.tooling import make_transformer

__all__ = ["HookReturnedNothing", "afeed", "feed"]


class HookReturnedNothing(AssertionError):
    """A transformer's `process` did not say whether its event stays in the raw log.

    ```python
    class Forgetful(StreamTransformer):
        def init(self):
            return {}

        def process(self, event):
            pass  # no `return True`

    try:
        feed(Forgetful, parts.values(1))
    except HookReturnedNothing as exc:
        print(exc)
    ```
    """

    def __init__(self, hook: str, got: object) -> None:
        super().__init__(
            f"{hook} returned {got!r}, which drops the event from the raw log without a word. "
            "Return True to keep it, False to drop it."
        )


def feed(transformer: TransformerFactory, *steps: Step, scope: Namespace = ()) -> Recording:
    """Run a script through a transformer on the sync lane, without an event loop.

    ```python
    class WordCount(StreamTransformer):
        required_stream_modes = methods = ("custom",)

        def init(self):
            self.counts = StreamChannel()
            return {"counts": self.counts}

        def process(self, event):
            self.counts.push(len(event["params"]["data"].split()))
            return True

    recording = feed(WordCount, parts.custom("one"), parts.custom("two words"))
    recording.check(counts=[1, 2])
    ```

    Args:
        transformer: The class, or a factory.
        steps: What `ScriptedSource` takes: parts, exceptions, ...
        scope: The namespace whose level is the run's own.

    Returns:
        The items of the transformer's channels, its other projections in `values` (promises resolved; left out if they
        have no value), the raw log in `events`, `output`, `status`, and the script's own error, if it ended by one.

    Raises:
        HookReturnedNothing: `process` returned no bool.
        BaseException: Whatever the transformer raised, with a note that names it.
    """
    watched = _Watched(transformer)
    recording = Recording()
    run: GraphRunStream | None = None
    try:
        with open_run(ScriptedSource(*steps), transformers=[watched], buffer=math.inf, scope=scope) as run:
            log = iter(run)
            try:
                record(run, *watched.channels, into=recording)
            finally:
                for event in log:
                    recording.events.append(event)
            recording.output = run.output
            for name, value in watched.others.items():
                with suppress(PromiseUnresolved):
                    recording.values[name] = value.result() if isinstance(value, Promise) else value
    except BaseException as exc:
        if not _is_step(exc, steps):
            raise
        recording.error = exc
    recording.status = run.status if run is not None else None
    return recording


async def afeed(transformer: TransformerFactory, *steps: Step, scope: Namespace = ()) -> Recording:
    """As `feed`, on the async lane: with asyncio or trio, whichever runs the test.

    `aprocess` is awaited, scheduled work runs and is waited for, pauses and gates of the script wait.
    """
    watched = _Watched(transformer)
    recording = Recording()
    run: AsyncGraphRunStream | None = None
    try:
        async with open_run(ScriptedSource(*steps), transformers=[watched], buffer=math.inf, scope=scope) as run:
            log = aiter(run)
            try:
                await arecord(run, *watched.channels, into=recording)
            finally:
                async for event in log:
                    recording.events.append(event)
            recording.output = await run.output()
            for name, value in watched.others.items():
                with suppress(PromiseUnresolved):
                    recording.values[name] = await value if isinstance(value, Promise) else value
    except BaseException as exc:
        if not _is_step(exc, steps):
            raise
        recording.error = exc
    recording.status = run.status if run is not None else None
    return recording


def _is_step(error: BaseException, steps: Sequence[Step]) -> bool:
    return any(error is step for step in steps)


@final
class _Watched:
    """Makes the transformers, and takes note of the projections of the run's own.

    Attributes:
        projection: What its `init()` returned.
    """

    def __init__(self, factory: TransformerFactory) -> None:
        self.projection: dict[str, Any] = {}
        self._factory = factory
        self._made = False

    def __call__(self, scope: Namespace) -> StreamTransformer:
        transformer: StreamTransformer = make_transformer(self._factory, scope)
        _check_answers(transformer)
        if not self._made:
            # The run's own is made first. The mux calls what it finds at the instance.
            self._made = True
            init = transformer.init

            def noted() -> dict[str, Any]:
                self.projection = init()
                return self.projection

            vars(transformer)["init"] = noted
        return transformer

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of its channels."""
        return tuple(name for name, value in self.projection.items() if isinstance(value, StreamChannel))

    @property
    def others(self) -> dict[str, Any]:
        """Its other projections, by name."""
        return {name: value for name, value in self.projection.items() if not isinstance(value, StreamChannel)}


def _check_answers(transformer: StreamTransformer) -> None:
    """Let the transformer's hooks raise if they return no bool."""
    owner = type(transformer).__name__
    if type(transformer).process is not StreamTransformer.process and not isinstance(transformer, PayloadTransformer):
        process = transformer.process

        def checked(event: ProtocolEvent) -> bool:
            return _answer(process(event), f"{owner}.process()")

        vars(transformer)["process"] = checked
    if type(transformer).aprocess is not StreamTransformer.aprocess:
        aprocess = transformer.aprocess

        async def achecked(event: ProtocolEvent) -> bool:
            return _answer(await aprocess(event), f"{owner}.aprocess()")

        vars(transformer)["aprocess"] = achecked


def _answer(answer: object, hook: str) -> bool:
    # A coroutine is another mistake, which the run itself reports.
    if isinstance(answer, bool) or inspect.iscoroutine(answer):
        return cast("bool", answer)
    raise HookReturnedNothing(hook, answer)
