"""Questions that are answered at several servers at once, and runs that are stopped at one that does not run them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio

from anyiostream.remote import Limits
from anyiostream.remote.store import Changes, Claim, NotPending, Offer, SharedStore, Stored, thread_key
from anyiostream.wire.drafts import Draft

from ..remote.store.valkey import valkey
from .handles import handles
from .promises import Promises

__all__ = ["answer_twice"]

OWNER = "ann"


async def answer_twice(folder: Path, seed: int, count: int) -> Promises:
    """Ask so many questions; each is answered at two servers, and the run that goes on is cancelled at either."""
    draw = random.Random(seed)
    promises = Promises()
    with valkey(folder) as server:
        one, other = handles(server.url, server.url)
        async with one.open(Limits()), other.open(Limits()):
            for n in range(count):
                await _ask(draw.choice([one, other]), (one, other), f"t{n % 7}", promises, draw)
    return promises


async def _ask(holder: SharedStore, stores: tuple[Any, Any], thread_id: str, promises: Promises, draw: Any) -> None:
    question = uuid4().hex
    claim = await _claimed(holder, thread_id)
    await holder.log(claim).append(Draft("values", (), question, 1), Changes(pending=(question,)))
    await holder.release(claim.record.key, claim.record.epoch)
    taken: list[str] = []

    async def answer(store: SharedStore, n: int) -> None:
        run_id = f"{question} {n}"
        offer = Offer(
            owner=OWNER, thread_id=thread_id, run_id=run_id, body=b"{}", reply=run_id.encode(), answers=[question],
            once=None if draw.random() < 0.5 else run_id,
        )  # fmt: skip
        for _ in range(1 if offer.once is None else 2):  # a client that has lost the reply sends it once more
            try:
                taken.append((await store.accept(offer, most=10, within=60)).reply.decode())
            except NotPending:
                promises.counts["answers refused"] += 1

    async with anyio.create_task_group() as tasks:
        for n, store in enumerate(draw.sample(stores, 2)):
            tasks.start_soon(answer, store, n)
    promises.counts["questions"] += 1
    claim = await _claimed(draw.choice(stores), thread_id)
    if {each.run_id for each in claim.inbox} != set(taken) or len(set(taken)) != 1:
        promises.broken(f"{question} was answered by {sorted(set(taken))}, and {claim.inbox} is to be run")
    for command in claim.inbox:
        await _cancel(draw.choice(stores), claim, command, promises)
    holder = draw.choice(stores)
    claim = await _claimed(holder, thread_id)
    await holder.log(claim).change(Changes(done=[each.place for each in claim.inbox], pending=()))
    await holder.release(claim.record.key, claim.record.epoch)


async def _cancel(store: SharedStore, claim: Claim, command: Stored, promises: Promises) -> None:
    await store.cancel(claim.record.key, command.place)
    standing = await store.look(claim.record.key)
    promises.counts["runs cancelled"] += 1
    if standing is None or not all(each.cancelled for each in standing.inbox if each.place == command.place):
        promises.broken(f"{command.run_id} was cancelled, and {standing} says otherwise")


async def _claimed(store: SharedStore, thread_id: str) -> Claim:
    claim = await store.claim(OWNER, thread_id, holder=uuid4().hex, nonce=uuid4().hex)
    assert claim is not None, thread_key(OWNER, thread_id)
    return claim
