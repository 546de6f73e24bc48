"""`Script`: how a server asks the store for something atomic: `scripts.lua`, run by the store."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Collection, Sequence
from importlib import resources
from typing import Any, Final, final

import anyio
from coredis.exceptions import NoScriptError, RedisError

from anyiostream.remote.store.failures import StoreFailed
from anyiostream.remote.store.kept import Listed, Record
from anyiostream.remote.store.protocol import Clock, Standing
from anyiostream.remote.store.redis.lane import Lane, Lost, Reply
from anyiostream.remote.store.sealing import CodecFailed, Decode
from anyiostream.remote.store.stops import stored
from anyiostream.wire.drafts import Entry

__all__ = ["Script", "entry_of", "head_of", "json_of", "listed_of", "standing_of", "us"]

SOURCE: Final = resources.files("anyiostream.remote.store.redis").joinpath("scripts.lua").read_bytes()
DIGEST: Final = hashlib.sha1(SOURCE, usedforsecurity=False).hexdigest()

PASSING: Final = ("BUSY ", "MASTERDOWN ", "NOREPLICAS ")
"""What a server says that has done nothing, and will soon: somebody's script is running, or a replica is away."""

PAUSE: Final = 0.02
"""Seconds after which it is asked again."""

INDEXED: Final = 1000
"""How many threads are looked at together when a store of version 0.1.0 is opened."""


@final
class Script:
    """The operations, over one lane at a time.

    Args:
        prefix: What the names of keys begin with.
        patience: Seconds for which an operation is repeated whose outcome is unknown.
        clock: The time; `None` for the store's own.
    """

    def __init__(self, prefix: str, patience: float, clock: Clock | None = None) -> None:
        self._prefix = prefix
        self._patience = patience
        self._clock = clock
        self._process = os.getpid()

    async def call(self, lane: Lane, operation: str, *arguments: Any, patience: float | None = None) -> Any:
        """Do an operation, repeating it unchanged while its outcome is unknown, or the store is busy; it is done once.

        A cancellation, even one that came before, waits until it is done or given up. An attempt during which the event
        loop was blocked does not count: nobody has looked for its reply.

        Raises:
            StoreFailed: It is not done, or its outcome is not known.
        """
        if os.getpid() != self._process:
            raise StoreFailed("it was opened by the process that this one is a fork of: open it here")
        until = time.monotonic() + (self._patience if patience is None else patience)
        now = "" if self._clock is None else self._clock()
        command = [now, operation, *arguments]
        with anyio.CancelScope(shield=True):
            while True:
                began = time.monotonic()
                try:
                    left = max(0.0, until - began)
                    reply = await self._asked(lane, command, left)
                except Lost as exc:
                    if exc.blocked:
                        until += time.monotonic() - began
                    if lane.closed or time.monotonic() >= until:
                        raise StoreFailed(f"it is out of reach ({exc})") from exc
                    continue
                if isinstance(reply, RedisError):
                    if str(reply).startswith(PASSING) and time.monotonic() < until:
                        await anyio.sleep(PAUSE)
                        continue
                    raise StoreFailed(str(reply)) from reply
                return reply

    async def try_once(self, lane: Lane, operation: str, *arguments: Any, over: int) -> Reply:
        """The reply to an operation that changes nothing, an exception of the store's among them. Raises `Lost`.

        It is asked for over one connection only; see `Lane.ask`.
        """
        return await self._asked(lane, ["", operation, *arguments], over=over)

    async def _asked(
        self, lane: Lane, command: Sequence[Any], within: float = math.inf, over: int | None = None
    ) -> Reply:
        (reply,) = await lane.ask([b"EVALSHA", DIGEST, 0, self._prefix, *command], within=within, over=over)
        if isinstance(reply, NoScriptError):
            (reply,) = await lane.ask([b"EVAL", SOURCE, 0, self._prefix, *command], within=within, over=over)
        return reply

    async def index(self, lane: Lane) -> None:
        """Have threads listed that version 0.1.0 has made, once for a store. Raises as `call`."""
        done = 0
        while found := await self.call(lane, "index", done, INDEXED):
            done += found


def us(seconds: float) -> int:
    """A time as the script takes it, in µs."""
    return int(seconds * 1_000_000)


def json_of(values: Collection[Any]) -> str:
    """A list as the script takes it."""
    return json.dumps(list(values))


def head_of(entry: Entry) -> bytes:
    """What a log keeps of an event besides its body."""
    return json.dumps([entry.method, entry.channel, entry.namespace, entry.root_event]).encode()


def entry_of(generation: bytes, kept: Sequence[Any], decode: Decode) -> tuple[int, Entry]:
    """An event as a log keeps it, and the place before it.

    Raises:
        CodecFailed: It cannot be decoded, or is none.
    """
    place, fields = kept
    seq = int(place.partition(b"-")[0])
    try:
        method, channel, namespace, root_event = json.loads(fields[1])
        body, before = fields[3], int(fields[5])
        event_id, path = f"{generation.decode()}-{seq}", tuple(namespace)
    except (IndexError, TypeError, ValueError) as exc:
        raise CodecFailed(f"cannot be read: entry {seq} of its log is no server's; erase the thread") from exc
    return before, Entry(seq, event_id, method, channel, path, root_event, decode(body))


def standing_of(key: str, found: Sequence[Any], decode: Decode) -> Standing:
    """A thread as the store shows it."""
    owner, thread_id, generation, epoch, holder, floor, last, pending, fold, folded, watched = found[0]
    record = Record(
        key=key,
        owner=owner.decode(errors="surrogatepass"),
        thread_id=thread_id.decode(),
        generation=int(generation),
        epoch=int(epoch),
        holder=holder.decode(),
        floor=int(floor),
        last=int(last),
        pending=tuple(json.loads(pending)),
        fold=fold,
        folded=int(folded or 0),
        watched=int(watched),
        decode=decode,
    )
    inbox = [
        stored(place, run_id.decode(), body, attempts, stop, decode=decode)
        for place, run_id, body, attempts, stop in found[1]
    ]
    return Standing(record=record, inbox=inbox)


def listed_of(found: Sequence[Any], decode: Decode) -> Listed:
    """What a list has of a thread, as the store shows it."""
    key, thread_id, generation, touched, last, commands, label = found
    return Listed(
        key=key.decode(),
        thread_id=thread_id.decode(),
        generation=int(generation),
        touched=int(touched),
        last=int(last),
        commands=commands,
        label=label,
        decode=decode,
    )
