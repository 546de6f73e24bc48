"""Calls of a store that are cancelled at each of their suspensions: done as a whole or not at all.

A call that returns has been done, although it was cancelled; one that raises the cancellation has done nothing. Later
calls get their own replies.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, final
from uuid import uuid4

import anyio
import anyio.lowlevel
import attrs

from anyiostream.remote import Limits
from anyiostream.remote.store import Changes, Offer, SharedStore, StoredLog, thread_key
from anyiostream.testing import at_suspension
from anyiostream.wire.drafts import Draft

from ..faults.tcp_proxy import Proxy, proxy
from ..remote.store.valkey import Valkey, valkey
from ..waiting import until
from .handles import handles
from .promises import Promises

__all__ = ["CALLS", "cancel_callers", "cancel_everywhere", "cut"]

OWNER: Final = "ann"

KEY: Final = thread_key(OWNER, "t")

TOGETHER: Final = 20
"""Callers at a time."""


async def cut(call: Callable[[], Awaitable[Any]], at: int) -> tuple[bool, bool, Any]:
    """Cancel a call at its `at`th suspension: whether it came to that, whether it returned, and what."""
    returned, result = False, None
    with anyio.CancelScope() as scope:
        watch = at_suspension(call(), at, scope.cancel)
        result = await watch
        returned = True
    return watch.landed, returned, result


@final
@attrs.define(eq=False)
class World:
    """A thread that is claimed, by way of a handle whose calls are cancelled; and a handle that sees what is there.

    Attributes:
        store: The handle whose calls are cancelled.
        witness: The other one.
        log: The thread's log, as its writer has it.
        count: The events of the log.
    """

    store: SharedStore
    witness: SharedStore
    log: Any = None
    count: int = 0

    async def begin(self) -> None:
        """Claim the thread, anew."""
        claim = await self.store.claim(OWNER, "t", holder="one", nonce=uuid4().hex)
        assert claim is not None
        self.log = self.store.log(claim)

    async def seen(self) -> Any:
        """How the thread stands."""
        return await self.witness.look(KEY)


Check = Callable[[bool, Any], Awaitable[bool]]
"""Whether all is as it should be, given whether a call returned, and what."""

Prepared = tuple[Callable[[], Awaitable[Any]], Check]


async def _append(world: World) -> Prepared:
    log: StoredLog = world.log

    async def check(returned: bool, _: Any) -> bool:
        world.count += returned
        after = await log.append(Draft("values", (), "next", 1))
        world.count += 1
        found = await world.witness.read(KEY, 0, 10_000)
        return len(found) == world.count and found[-1] == after

    return lambda: log.append(Draft("values", (), "cut", 1)), check


async def _change(world: World) -> Prepared:
    wanted = (uuid4().hex,)

    async def check(returned: bool, _: Any) -> bool:
        return ((await world.seen()).record.pending == wanted) == returned

    return lambda: world.log.change(Changes(pending=wanted)), check


async def _accept(world: World) -> Prepared:
    run_id = uuid4().hex
    offer = Offer(owner=OWNER, thread_id="t", run_id=run_id, body=b"{}", reply=run_id.encode(), once=run_id)

    async def check(returned: bool, _: Any) -> bool:
        inbox = (await world.seen()).inbox
        await world.log.change(Changes(done=[each.place for each in inbox]))
        return [each.run_id for each in inbox] == [run_id] * returned

    return lambda: world.store.accept(offer, most=10, within=60), check


async def _claim(world: World) -> Prepared:
    before = (await world.seen()).record.epoch

    async def check(returned: bool, claim: Any) -> bool:
        after = (await world.seen()).record.epoch
        await world.begin()
        return after == claim.record.epoch > before if returned else after == before

    return lambda: world.store.claim(OWNER, "t", holder="one", nonce=uuid4().hex), check


async def _release(world: World) -> Prepared:
    async def check(returned: bool, _: Any) -> bool:
        holder = (await world.seen()).record.holder
        await world.begin()
        return holder == ("" if returned else "one")

    return lambda: world.store.release(KEY, world.log.epoch), check


async def _erase(world: World) -> Prepared:
    run_id = uuid4().hex
    key = thread_key(OWNER, run_id)
    await world.store.make(OWNER, run_id)

    async def check(returned: bool, _: Any) -> bool:
        return (await world.witness.look(key) is None) == returned

    return lambda: world.store.erase(key), check


async def _look(world: World) -> Prepared:
    thread_id = uuid4().hex
    standing = await world.witness.make(OWNER, thread_id)

    async def check(returned: bool, found: Any) -> bool:
        return not returned or found == standing

    return lambda: world.store.look(standing.record.key), check


async def _read(world: World) -> Prepared:
    wanted = await world.witness.read(KEY, 0, 3)

    async def check(returned: bool, found: Any) -> bool:
        return not returned or found == wanted

    return lambda: world.store.read(KEY, 0, 3), check


async def _follow(world: World) -> Prepared:
    await world.log.append(Draft("values", (), "read", 1))
    world.count += 1
    shown = await world.witness.view(await world.seen(), follow=True)
    cursor = shown.last

    async def check(_: bool, __: Any) -> bool:
        written = await world.log.append(Draft("values", (), "next", 1))
        world.count += 1
        await shown.wait(cursor)
        return list(await shown.read(cursor)) == [written]

    async def follow() -> None:
        with anyio.move_on_after(0):
            await shown.wait(cursor)
        await shown.read(cursor)

    return follow, check


async def _join(world: World) -> Prepared:
    async def join() -> None:
        async with world.store.join(uuid4().hex):
            await anyio.lowlevel.checkpoint()

    async def check(_: bool, __: Any) -> bool:
        return (await world.witness.load()).servers == 0

    return join, check


CALLS: Final[dict[str, Callable[[World], Awaitable[Prepared]]]] = {
    "append": _append,
    "change": _change,
    "accept": _accept,
    "claim": _claim,
    "release": _release,
    "erase": _erase,
    "look": _look,
    "read": _read,
    "follow": _follow,
    "join": _join,
}
"""A call -> what prepares it."""


async def cancel_everywhere(folder: Path, seed: int, count: int) -> Promises:
    """Cancel each call at each of its suspensions, so many times, every second time while it has to connect anew."""
    del seed  # nothing is drawn
    promises = Promises()
    with valkey(folder) as server:
        async with proxy(("127.0.0.1", server.port)) as between:
            (store,) = handles(f"redis://127.0.0.1:{between.port}")
            async with _witness(server) as witness, store.open(Limits()):
                world = World(store, witness)
                await world.begin()
                for n, (name, prepare) in enumerate([*CALLS.items()] * 2 * count):
                    lossy = n // len(CALLS) % 2 == 1
                    await _cancel_call(world, name, prepare, between if lossy else None, promises)
        for _ in range(count):
            await _cancel_opening(server, promises)
    return promises


async def _cancel_call(world: World, name: str, prepare: Any, between: Proxy | None, promises: Promises) -> None:
    at, struck = 1, True
    while struck:
        call, check = await prepare(world)
        if between is not None:
            between.cut_next("back")
        struck, returned, result = await cut(call, at)
        if not await check(returned, result):
            promises.broken(f"{name}, cancelled at its suspension {at}: returned {returned}, {result}")
        promises.counts[f"{name} cancelled"] += struck
        at += 1


async def _cancel_opening(server: Valkey, promises: Promises) -> None:
    async def use() -> None:
        (store,) = handles(server.url)
        async with store.open(Limits()):
            await store.look(KEY)

    at, struck = 1, True
    while struck:
        struck, _, _ = await cut(use, at)
        promises.counts["open cancelled"] += struck
        with anyio.move_on_after(10) as scope:
            await until(lambda: b"name=anyiostream-" not in server.ask(b"CLIENT LIST"))
        if scope.cancelled_caught:
            promises.broken(f"a store whose opening was cancelled at {at} keeps connections")
        at += 1


@asynccontextmanager
async def _witness(server: Valkey) -> AsyncGenerator[SharedStore]:
    (store,) = handles(server.url)
    async with store.open(Limits()):
        yield store


async def cancel_callers(folder: Path, seed: int, count: int) -> Promises:
    """Let so many callers ask for something, many at a time; most of them are cancelled on the way."""
    draw = random.Random(seed)
    promises = Promises()
    with valkey(folder) as server:
        (store,) = handles(server.url)
        async with store.open(Limits()):
            made = [(await store.make(OWNER, f"t{n}")).record for n in range(TOGETHER)]

            async def call(n: int, at: int) -> None:
                struck, returned, found = await cut(lambda: store.record(made[n].key), at)
                promises.counts["callers cancelled"] += struck
                promises.counts["callers not cancelled"] += not struck
                if returned and found != made[n]:
                    promises.broken(f"who asked for {made[n].thread_id} got {found}")

            for _ in range(count // TOGETHER):
                async with anyio.create_task_group() as tasks:
                    for n in range(TOGETHER):
                        tasks.start_soon(call, n, draw.randint(1, 8))
            for record in made:
                with anyio.move_on_after(10) as scope:
                    if await store.record(record.key) != record:
                        promises.broken("a caller after all of them got another one's reply")
                if scope.cancelled_caught:
                    promises.broken("a caller after all of them gets no reply")
    return promises
