"""Transformers that take note of what they are called with, do wrong when the fault says so, and schedule work."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from anyiostream import StreamChannel, StreamTransformer

from .world import World

__all__ = ["factories"]


class Witness(StreamTransformer):
    """Takes note of its calls.

    Attributes:
        events: (method, namespace) of each event, in order.
        endings: Its terminal hooks, in order.
    """

    label = ""

    def __init__(self, scope: tuple[str, ...] = (), *, world: World) -> None:
        super().__init__(scope)
        self.world = world
        self.events: list[tuple[str, tuple[str, ...]]] = []
        self.endings: list[str] = []
        world.witnesses.append(self)

    def init(self) -> dict[str, Any]:
        return {}

    def saw(self, event: Any) -> None:
        """One event."""
        if self.endings:
            self.world.violated("I6", f"{self.label} processes after {self.endings[0]}")
        self.events.append((event["method"], tuple(event["params"]["namespace"])))

    def process(self, event: Any) -> bool:
        self.saw(event)
        return True

    def finalize(self) -> None:
        self.ended("finalize")

    def fail(self, err: BaseException) -> None:
        self.ended("fail")

    def ended(self, hook: str) -> None:
        """A terminal hook was called."""
        self.endings.append(hook)
        if not self.scope:
            self.world.note(self.label, hook)
            if self.world.run is not None and self.world.run.status != "running":
                self.world.violated("I9", f"the run is {self.world.run.status} before {hook} has run")


class First(Witness):
    """Before all others."""

    label = "first"
    before_builtins = True


class Last(Witness):
    """After all others."""

    label = "last"


class AsyncLast(Last):
    """After all others, with async hooks."""

    async def aprocess(self, event: Any) -> bool:
        await checkpoint()
        self.saw(event)
        return True

    async def afinalize(self) -> None:
        self.ended("finalize")
        await checkpoint()

    async def afail(self, err: BaseException) -> None:
        self.ended("fail")
        await checkpoint()


class Wrongdoer(StreamTransformer):
    """Does wrong in a hook that is plain."""

    def __init__(self, scope: tuple[str, ...] = (), *, world: World) -> None:
        super().__init__(scope)
        self.world = world
        self.calls = 0

    def init(self) -> dict[str, Any]:
        self.wrong("init")
        return {}

    def wrong(self, hook: str) -> None:
        """Raise in the right call of the right hook."""
        if self.scope or self.world.fault.hook != hook:
            return
        self.calls += 1
        if self.calls == self.world.k or not hook.endswith("process"):
            raise self.world.error()

    def process(self, event: Any) -> bool:
        self.wrong("process")
        return True

    def finalize(self) -> None:
        self.wrong("finalize")

    def fail(self, err: BaseException) -> None:
        self.wrong("fail")


class AsyncWrongdoer(Wrongdoer):
    """Does wrong in a hook that waits."""

    async def do(self, hook: str) -> None:
        """What the fault says."""
        world, fault = self.world, self.world.fault
        aborts = fault.aborts == "push" and hook == "aprocess"
        if self.scope or (fault.hook != hook and not aborts):
            return
        self.calls += 1
        if hook == "aprocess" and self.calls != world.k:
            return
        if aborts:
            world.land()
            world.alarm.set()
            await anyio.sleep(0.01)
            return
        if world.options.target % 2:
            await checkpoint()
        world.land()
        if fault.does == "hangs":
            await anyio.sleep_forever()
        elif fault.does == "re-enters":
            try:
                await world.run.output()
            except BaseException as exc:
                world.injected.append(exc)
                raise
        else:
            raise world.error()

    async def aprocess(self, event: Any) -> bool:
        await self.do("aprocess")
        return True

    async def afinalize(self) -> None:
        await self.do("afinalize")

    async def afail(self, err: BaseException) -> None:
        await self.do("afail")


class Scheduling(StreamTransformer):
    """Repeats each custom item of the root by scheduled work."""

    requires_async = True
    own_scope = True
    methods = ("custom",)

    def __init__(self, scope: tuple[str, ...] = (), *, world: World) -> None:
        super().__init__(scope)
        self.world = world
        self.echo: StreamChannel[Any] = StreamChannel("echo")

    def init(self) -> dict[str, Any]:
        return {"echo": self.echo} if not self.scope else {}

    def process(self, event: Any) -> bool:
        item, inserted = event["params"]["data"], self.world.inserted
        if not self.scope and not (isinstance(inserted, dict) and item is inserted.get("data")):
            self.begin(item, self.world.works[0] + 1, 0)
        return True

    def begin(self, item: Any, number: int, generation: int) -> None:
        """Schedule the work for an item."""
        struck = number == self.world.k and generation == 0
        on_error = self.world.fault.on_error if struck else "raise"
        self.world.works[0] += 1
        self.schedule(self.work(item, number, generation, struck=struck), on_error=on_error)

    async def work(self, item: Any, number: int, generation: int, *, struck: bool) -> None:
        """Repeat an item, by and by."""
        world, does = self.world, self.world.fault.does if self.world.fault.family.startswith("scheduled") else ""
        if struck and does:
            if does != "fails early":
                await anyio.sleep(0.05 if does == "fails late" else 0)
            if does in {"fails early", "fails late"}:
                raise world.error()
            world.land()
            if does == "never ends":
                await anyio.sleep_forever()
            if does == "reads the run":
                try:
                    await world.run.output()
                except BaseException as exc:
                    world.injected.append(exc)
                    raise
        if struck and does == "schedules itself":
            for n in range(3):
                self.begin(("again", item, n), number, generation + 1)
        caught, _ = await world.play("scheduled", partial(self.repeat, item), struck=struck)
        if caught:
            await self.echo.send(item)
        world.works[1] += 1
        world.note("repeated", item)

    async def repeat(self, item: Any) -> None:
        """Wait a little, and send."""
        await self.world.pause()
        await self.world.pause()
        await self.echo.send(item)


def factories(world: World, *, is_async: bool) -> list[Any]:
    """The transformers of a scenario."""
    fault = world.fault
    chosen: list[Any] = [First]
    if fault.hook or fault.aborts == "push":
        chosen.append(AsyncWrongdoer if fault.hook.startswith("a") or fault.aborts == "push" else Wrongdoer)
    if is_async and world.scenario.readers in {"all", "echo"}:
        chosen.append(Scheduling)
    chosen.append(AsyncLast if is_async and world.options.awaits else Last)
    return [partial(each, world=world) for each in chosen]
