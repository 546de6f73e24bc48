"""What lies between servers and their store: connections are cut, stalled, delayed, and lose what goes one way."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import anyio

from ..faults.tcp_proxy import Direction, Proxy, proxy
from ..remote.store.valkey import valkey
from .handles import handles
from .promises import Promises
from .workload import Workload

__all__ = ["KINDS", "disturb"]

KINDS: Final = ("cut a request", "cut a reply", "cut all", "stall", "delay", "lose requests", "lose replies")

WAYS: Final[tuple[Direction, Direction]] = ("there", "back")

DEADLINE: Final = 0.5
"""Seconds after which a server gives a connection up."""


async def disturb(folder: Path, seed: int, count: int) -> Promises:
    """Disturb the connections of one of two servers, so many times in each way."""
    draw = random.Random(seed)
    promises = Promises()
    with valkey(folder) as server:
        async with AsyncExitStack() as stack:
            between = [await stack.enter_async_context(proxy(("127.0.0.1", server.port))) for _ in range(2)]
            work = Workload(
                handles(*(f"redis://127.0.0.1:{each.port}" for each in between), deadline=DEADLINE), promises, seed
            )
            kinds = list(KINDS) * count
            draw.shuffle(kinds)
            async with work.running():
                for kind in kinds:
                    await _strike(draw.choice(between), kind, draw)
                    promises.counts[kind] += 1
                    await work.progress()
    return promises


async def _strike(between: Proxy, kind: str, draw: random.Random) -> None:
    if kind == "cut a request":
        between.cut_next("there")
    elif kind == "cut a reply":
        between.cut_next("back")
    elif kind == "cut all":
        between.cut()
    elif kind == "stall":
        between.stall(*draw.choice([WAYS, WAYS[:1], WAYS[1:]]))
    elif kind == "delay":
        between.delay = 0.1 * draw.random()
    else:
        between.lose(WAYS[kind == "lose replies"])
    if kind in {"stall", "delay", "lose requests", "lose replies"}:
        await anyio.sleep(draw.choice([0.2, 1.2]) * DEADLINE)
        between.heal()
