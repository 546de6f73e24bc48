"""`Tail`: one read for all that a server follows: the logs that somebody reads there, and the server's own news.

Rules:

- One connection reads for everybody. It waits in the store, and is never cancelled: what it follows changes by a
  message to the server itself.
- A window holds a log's newest events, without a hidden hole: an event that does not follow the newest one there
  restarts the window.
- What the thread's writer in this process has stored is in the window already, and is not read back.
- No reply is large, however large events are, and however many logs have some. A read that waits is bounded in events
  alone, so it is used only when there is next to nothing to read. What has come in between is read first, a part at a
  time and in turn (`Backlog`): threads of which there is much to read hold up no other.
- What somebody else has put in the place of a log, or into it, keeps nobody from reading others.
- A store that comes back may have lost what it had shown. Readers are told then, and not when somebody writes again:
  nothing is read over a new connection before that has been looked for.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final, final
from uuid import uuid4
from weakref import WeakValueDictionary

import anyio
import attrs
from coredis.exceptions import RedisError, WrongTypeError

from anyiostream.remote.store.latency import Latency
from anyiostream.remote.store.protocol import News
from anyiostream.remote.store.redis.lane import Lane, Lost
from anyiostream.remote.store.redis.scripts import Script, entry_of
from anyiostream.remote.store.sealing import CodecFailed, Decode
from anyiostream.remote.store.window import Window
from anyiostream.wire.drafts import Entry

__all__ = ["BLOCK", "Opened", "Tail"]

logger = logging.getLogger(__name__)

BLOCK: Final = 5.0
"""Seconds that a read waits in the store."""

NOTE: Final = 5.0
"""Seconds after which the server leaves itself a message, if it has not had a reason to."""

MOST: Final = 512
"""Events that a read brings, more or less, over all logs."""

LEAST: Final = 4
"""Events of one log that it brings at least."""

PROMPT: Final = 0.2
"""Seconds after which there may be more to read than such a read should bring."""

ROOM: Final = 2**20
"""Bytes that a reply of the others has, but for the last event in it."""

SHARE: Final = ROOM // 4
"""Of these, what one log may have, while others wait for their turn."""

TOGETHER: Final = 500
"""Logs that are looked at together: the store does nothing else meanwhile."""

Found = tuple[Mapping[str, Sequence[Any]], Iterable[str], Iterable[str]]
"""The entries of streams, by their names; the streams that have had their turn; and those that may have more."""


@final
class Backlog:
    """Streams in which there may be much to read. They are read in turn, and leave when nothing follows."""

    def __init__(self) -> None:
        self._due: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self._due)

    def add(self, streams: Iterable[str]) -> None:
        """Put streams behind those that are there."""
        self._due |= dict.fromkeys(streams)

    def turn(self, followed: Collection[str]) -> list[str]:
        """Whose turn it is, of those that are still followed."""
        self._due = {each: None for each in self._due if each in followed}
        return list(islice(self._due, TOGETHER))

    def have_had(self, streams: Iterable[str], unfinished: Iterable[str]) -> None:
        """Streams have been read; those that are unfinished have another turn."""
        for each in streams:
            self._due.pop(each, None)
        self.add(unfinished)


@final
class Tail:
    """What one server follows.

    Args:
        prefix: What the names of keys begin with.
        lane: A connection for this alone.
        commands: Another one, over which a read is ended that waits.
        script: Reads a part of what there is.
        late: Seconds that a read may come too late.
        decode: What is stored in place of an event's body, decoded.
        latency: How long it takes until something that is written is read here.
    """

    def __init__(
        self, prefix: str, lane: Lane, commands: Lane, script: Script, late: float, decode: Decode, latency: Latency
    ) -> None:
        self._prefix = prefix
        self._lane = lane
        self._commands = commands
        self._script = script
        self._late = late
        self._decode = decode
        self._latency = latency
        self._noted: float | None = None  # when a message to the server itself was sent that has not been read
        self._key = f"{prefix}:tail:{uuid4().hex}"
        self._over = 0  # the connection over which what is shown has been compared with what the store has
        self._windows: WeakValueDictionary[str, Window] = WeakValueDictionary()
        self._generations: dict[str, bytes] = {}
        self._led: set[str] = set()
        self._own = {self._key: b"0-0"}  # streams that concern the server -> what has been read of them
        self._changed = anyio.Event()
        self._inbox: set[str] = set()
        self._lost: set[str] = set()
        self._erased: set[str] = set()
        self._ready = False
        self._arrived = anyio.Event()

    # --- what is followed ---

    def join(self, server: str, ready_from: bytes) -> None:
        """Hear what concerns a server from now on, and look for what there is to do already."""
        self._own = {
            self._key: self._own[self._key],
            f"{self._prefix}:news:{server}": b"0-0",
            f"{self._prefix}:wake": ready_from,
        }
        self._changed.set()
        self._ready = True
        self._arrived.set()

    def window(self, key: str) -> Window | None:
        """The window of a thread's log, if it is followed, and can be."""
        window = self._windows.get(key)
        return window if window is not None and window.is_readable else None

    def is_of(self, key: str, generation: int) -> bool:
        """Whether what is followed under a thread's name is this thread, and not an earlier one."""
        return self._generations.get(key) == str(generation).encode()

    def follow(self, key: str, generation: int, window: Window) -> None:
        """Keep a window up to date for as long as it is used."""
        self._windows[key] = window
        self._generations[key] = str(generation).encode()
        self._changed.set()

    def lead(self, key: str) -> None:
        """What is written to a log is written here."""
        self._led.add(key)

    def unlead(self, key: str) -> None:
        """It may be written elsewhere from now on."""
        if key in self._led:
            self._led.discard(key)
            self._changed.set()

    def feed(self, key: str, found: Iterable[tuple[int, Entry]]) -> None:
        """Events of a log have been read or written, each with the place before it."""
        window = self._windows.get(key)
        if window is None:
            return
        for before, entry in found:
            if entry.seq <= window.last:
                continue
            if before != window.last:
                window.restart(before)
            window.extend((entry,))

    # --- what has been heard ---

    async def heard(self) -> News:
        """Wait until something concerns the server, and take it."""
        await self._arrived.wait()
        self._arrived = anyio.Event()
        lost, erased = frozenset(self._lost), frozenset(self._erased)
        news = News(inbox=frozenset(self._inbox), lost=lost, erased=erased, ready=self._ready)
        self._inbox, self._lost, self._erased, self._ready = set(), set(), set(), False
        return news

    async def run(self) -> None:
        """Read until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._end_reads)
            await self._read()

    async def _end_reads(self) -> None:
        """End the read that waits whenever what is followed has changed; and now and then, to see how long it takes."""
        while True:
            with anyio.move_on_after(NOTE):
                await self._changed.wait()
            self._changed = anyio.Event()
            self._noted = self._noted or time.perf_counter()
            with suppress(Lost):
                await self._commands.ask([b"XADD", self._key, "MAXLEN", 1, "*", "", ""], [b"EXPIRE", self._key, 60])

    async def _look_for_losses(self) -> None:
        """Compare the logs that are followed with what the store has of them. Raises `Lost` and `RedisError`."""
        over = self._lane.made
        shown = [(key, window, window.last, self._generations.get(key)) for key, window in self._windows.items()]
        asked = [[b"HMGET", f"{self._prefix}:t:{key}:rec", b"gen", b"last"] for key, *_ in shown]
        replies = await self._lane.ask(*asked, over=over) if asked else []
        for (key, window, seen, known), found in zip(shown, replies, strict=True):
            if isinstance(found, WrongTypeError) or self._generations.get(key) != known:
                continue  # there is something else in its place: that is no loss; or more is known by now
            if isinstance(found, RedisError):
                raise found
            generation, last = found[0], int(found[1] or 0)
            if generation not in {None, known}:  # there is another thread of that name
                self._generations[key] = generation
                window.lose(0)
            elif last < seen:
                window.lose(last)
        self._over = over

    async def _read(self) -> None:
        backlog = Backlog()
        since = -math.inf  # when all streams were last in the backlog, or had nothing more
        found_some = True  # by then: otherwise there is no need to look again before waiting
        while True:
            try:
                if self._over != self._lane.made:
                    await self._look_for_losses()
                    since, found_some = -math.inf, True
                streams, now = self._streams(), anyio.current_time()
                if found_some and now - since > PROMPT:  # however much there is to read of others
                    backlog.add(streams)
                    since, found_some = now, False
                asked = backlog.turn(streams)
                if not asked:
                    since, found_some = now, True
                found, finished, unfinished = await (self._some(streams, asked) if asked else self._news(streams))
            except Lost:
                continue
            except RedisError as exc:
                await self._refused(exc)
                continue
            backlog.have_had(finished, unfinished)
            found_some = found_some or bool(found)
            for stream, entries in found.items():
                if stream not in self._own and not stream.endswith(":log"):
                    continue  # news of the incarnation before: the server has joined anew since it was asked for
                if await self._is_known(stream, entries):
                    self._take(stream, entries)

    async def _refused(self, reply: RedisError) -> None:
        """The store refuses to read. Leave out what is no log, whose readers are told; or else wait, and say so."""
        logs, found = [each for each in self._streams() if each not in self._own], False
        with suppress(Lost):
            kinds = await self._lane.ask(*[[b"TYPE", each] for each in logs]) if logs else ()
            for stream, kind in zip(logs, kinds, strict=True):
                if isinstance(kind, RedisError):
                    continue  # it refuses that, too
                name = kind.decode() if isinstance(kind, bytes) else str(kind)
                window = self._windows.get(stream.split(":")[-2])
                if window is not None and name not in {"stream", "none"}:
                    why = f"is lost: the store has a {name} in the place of its log; erase the thread"
                    window.fail(CodecFailed(why))
                    found = True
        if not found:
            logger.warning("the store's news cannot be read: %s", reply)
            await anyio.sleep(self._late)

    def _streams(self) -> dict[str, bytes]:
        """What is followed: the name of a stream -> the id of what has been read of it last."""
        for key in [each for each in self._generations if each not in self._windows]:
            del self._generations[key]
        streams = dict(self._own)
        for key, window in list(self._windows.items()):
            if key not in self._led and window.is_readable:
                streams[f"{self._prefix}:t:{key}:log"] = b"%d-0" % window.last
        return streams

    async def _news(self, streams: Mapping[str, bytes]) -> Found:
        """What is new; waits until something is. Raises `Lost` and `RedisError`."""
        most = max(LEAST, MOST // len(streams))
        command = [b"XREAD", "COUNT", most, "BLOCK", int(BLOCK * 1000), "STREAMS", *streams, *streams.values()]
        (reply,) = await self._lane.ask(command, over=self._over)
        if isinstance(reply, RedisError):
            raise reply
        found = {name.decode(): entries for name, entries in (reply or {}).items()}
        return found, (), [each for each, entries in found.items() if len(entries) >= most]

    async def _some(self, streams: Mapping[str, bytes], asked: Sequence[str]) -> Found:
        """A part of what there is in the streams that are asked for. Raises `Lost` and `RedisError`."""
        places = [part for each in asked for part in (each, streams[each])]
        reply = await self._script.try_once(self._lane, "tail", MOST, SHARE, ROOM, *places, over=self._over)
        if isinstance(reply, RedisError):
            raise reply
        reached, read = reply
        found: dict[str, Sequence[Any]] = {}
        unfinished: list[str] = []
        for number, more, entries in read:
            stream = asked[int(number) - 1]
            found[stream] = entries
            if more:
                unfinished.append(stream)
        return found, asked[:reached], unfinished

    async def _is_known(self, stream: str, entries: Sequence[Any]) -> bool:
        """Whether it is known of which thread entries are; otherwise they are read again.

        A log that begins anew under a window that has events is that of another thread of the name.
        """
        key = stream.split(":")[-2]
        window = None if stream in self._own else self._windows.get(key)
        if window is None or not window.last or all(fields[5:6] != [b"0"] for _, fields in entries):
            return True
        try:
            (generation,) = await self._commands.ask([b"HGET", f"{self._prefix}:t:{key}:rec", "gen"])
        except Lost:
            return False
        if isinstance(generation, bytes) and generation != self._generations.get(key):
            self._generations[key] = generation
            window.forgotten = 0
        return True

    def _readable(self, key: str, generation: bytes, entries: Sequence[Any]) -> Iterator[tuple[int, Entry]]:
        """Events, each with the place before it. Whoever comes to one that cannot be decoded is told."""
        for each in entries:
            try:
                yield entry_of(generation, each, self._decode)
            except CodecFailed as exc:
                if (window := self._windows.get(key)) is not None:
                    window.fail(exc)
                return

    def _take(self, stream: str, entries: Sequence[Any]) -> None:
        if stream not in self._own:
            key = stream.split(":")[-2]
            generation = self._generations.get(key, b"")
            self.feed(key, self._readable(key, generation, entries))
            return
        self._own[stream] = entries[-1][0]
        if stream == self._key and self._noted is not None:
            self._latency.observe(time.perf_counter() - self._noted)
            self._noted = None
        if stream.endswith(":wake"):
            self._ready = True
        elif stream != self._key:
            told = [(fields[1], fields[3].decode()) for _, fields in entries]
            self._inbox |= {thread for kind, thread in told if kind == b"i"}
            self._lost |= {thread for kind, thread in told if kind == b"l"}
            self._erased |= {thread for kind, threads in told if kind == b"e" for thread in threads.split(",")}
        if self._inbox or self._lost or self._erased or self._ready:
            self._arrived.set()


@final
@attrs.frozen
class Opened:
    """What there is while a store is open: its connections, but for the one that renews the lease."""

    script: Script
    commands: Lane
    reads: Lane
    tail: Tail
