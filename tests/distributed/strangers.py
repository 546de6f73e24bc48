"""Servers that go on writing after their lease: frozen, or cut off, they do not know that others have the thread."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final
from uuid import uuid4

from anyiostream.remote import Limits
from anyiostream.remote.store import Changes, Fenced, OutOfStep, SharedStore, StoredLog
from anyiostream.wire.drafts import Draft, Entry

from ..remote.store.valkey import valkey
from .handles import handles
from .promises import Promises

__all__ = ["write_on"]

LEASE: Final = 3600.0
"""Seconds, by a clock that the test moves."""


async def write_on(folder: Path, seed: int, count: int) -> Promises:
    """Let so many threads pass from one server to another; the first one tries to write before and between."""
    draw = random.Random(seed)
    promises = Promises()
    now = [1_800_000_000_000_000]
    with valkey(folder) as server:
        one, other = handles(server.url, server.url, lease=LEASE, clock=lambda: now[0])
        async with one.open(Limits()), other.open(Limits()):
            for _ in range(count):
                names = uuid4().hex, uuid4().hex
                async with one.join(names[0]):
                    old = await _claimed(one, names[0], promises)
                    written = [await old.append(_draft(draw, "first")) for _ in range(draw.randint(0, 3))]
                    now[0] += int(LEASE * 1_000_000) + 1
                    async with other.join(names[1]):
                        new = await _claimed(other, names[1], promises)
                        mine = await _contend(old, new, draw, promises)
                        found = list(
                            await other.read(old.key, written[0].seq - 1 if written else mine[0].seq - 1, 1000)
                        )
                        if found != written + mine:
                            promises.broken(f"what was written is {found}, and should be {written + mine}")
                        promises.counts["threads that changed hands"] += 1
                now[0] += int(LEASE * 1_000_000) + 1
    return promises


async def _contend(old: StoredLog, new: StoredLog, draw: random.Random, promises: Promises) -> list[Entry]:
    """Both write, in a random order; what the new one has written."""
    mine: list[Entry] = []
    turns = ["old"] * draw.randint(1, 3) + ["new"] * draw.randint(1, 3)
    draw.shuffle(turns)
    for turn in turns:
        if turn == "new":
            mine.append(await new.append(_draft(draw, "mine")))
            continue
        try:
            if draw.random() < 0.3:
                await old.change(Changes(pending=("stranger",)))
            else:
                await old.append(_draft(draw, "stranger"))
        except (Fenced, OutOfStep) as exc:
            promises.counts[f"writes refused: {type(exc).__name__}"] += 1
        else:
            promises.broken("a server whose thread another one has could write to it")
    return mine


def _draft(draw: random.Random, data: str) -> Draft:
    return Draft("values", (), [data, draw.random()], 1)


async def _claimed(store: SharedStore, holder: str, promises: Promises) -> StoredLog:
    claim = await store.claim("ann", "t", holder=holder, nonce=uuid4().hex)
    if claim is None:
        promises.broken("a thread cannot be claimed, although nobody has a lease")
        raise AssertionError
    return store.log(claim)
