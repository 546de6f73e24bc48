"""`Intake`: what clients send, taken in within limits: bytes, time, number, and what it costs to decode.

Rules:

- No body is read before it is known on whose behalf.
- A whole body has to arrive in time. A large one takes its bytes from what all bodies together may have.
- Large bodies are decoded in a thread, a few at a time, so that nobody else waits for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any, Final, final

import anyio
import anyio.to_thread

from anyiostream.remote.decoding import decode
from anyiostream.remote.limits import Limits
from anyiostream.remote.refusals import Refusal

__all__ = ["Intake"]

SMALL: Final = 64 * 1024
"""Bytes up to which a body is small: not counted, and decoded at once."""

DECODERS: Final = 2
"""Large bodies that are decoded at a time."""

SHARES: Final = 4
"""Into how many shares the bytes of all bodies are divided: an owner's bodies have one."""


@final
class Intake:
    """What one server takes in."""

    def __init__(self, limits: Limits, *, owned: bool) -> None:
        """Nothing is being read yet.

        Args:
            limits: How much is taken in.
            owned: Whether there are several owners, each of whom may send a part of that.
        """
        self._limits = limits
        self._owned = owned
        self._reading: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._decoders = anyio.CapacityLimiter(DECODERS)

    @property
    def reading(self) -> int:
        """Bodies that are being read."""
        return self._reading.total()

    async def value(self, pieces: AsyncGenerator[bytes], owner: str) -> Any:
        """The JSON of a request's body. Raises as `body` does."""
        return (await self.body(pieces, owner))[1]

    async def body(self, pieces: AsyncGenerator[bytes], owner: str) -> tuple[bytes, Any]:
        """A request's body, and its JSON.

        Raises:
            Refusal: It is too large (413), too slow (408), one too many (429), or not what `decode` takes (400).
        """
        self._check_number(owner)
        self._reading[owner] += 1
        held = [0]
        try:
            async with aclosing(pieces):
                with anyio.fail_after(self._limits.receive):
                    raw = await self._read(pieces, owner, held)
            return raw, await self.decoded(raw, self._limits.body)
        except TimeoutError:
            text = f"the request was not there within {self._limits.receive} s."
            raise Refusal("invalid_argument", text, status=408) from None
        finally:
            self._reading[owner] -= 1
            self._reading += Counter()  # without the owners who are done
            self._let_go(held[0], owner)

    async def frame(self, raw: bytes, owner: str) -> Any:
        """The JSON of a WebSocket's frame, which counts like a body while it is decoded, and waits for that.

        Raises:
            Refusal: It is too large (413), one too many (429), or not what `decode` takes (400).
        """
        size = len(raw) if len(raw) > SMALL else 0
        self._hold(size, owner)
        try:
            return await self.decoded(raw, self._limits.frame)
        finally:
            self._let_go(size, owner)

    async def decoded(self, raw: bytes | str, most: int) -> Any:
        """The value of what a client has sent.

        Raises:
            Refusal: As `decode` says.
        """
        limits = self._limits
        job = partial(decode, raw, most=most, depth=limits.depth, nodes=limits.nodes)
        if len(raw) <= SMALL:
            return job()
        return await anyio.to_thread.run_sync(job, limiter=self._decoders)

    async def _read(self, pieces: AsyncIterator[bytes], owner: str, held: list[int]) -> bytes:
        read, size, most = [], 0, self._limits.body
        async for piece in pieces:
            size += len(piece)
            if size > most:
                raise Refusal("invalid_argument", f"the request has more than {most} bytes.", status=413)
            if size > SMALL:
                self._hold(size - held[0], owner)
                held[0] = size
            read.append(piece)
        return b"".join(read)

    def _hold(self, more: int, owner: str) -> None:
        most = self._limits.bodies
        share = most // SHARES if self._owned else most
        if self._bytes.total() + more > most or self._bytes[owner] + more > share:
            raise Refusal("unknown_error", "there are too many large requests; try again later.", status=429)
        self._bytes[owner] += more

    def _let_go(self, held: int, owner: str) -> None:
        self._bytes[owner] -= held
        self._bytes += Counter()

    def _check_number(self, owner: str) -> None:
        limits = self._limits
        share = limits.owner_connections if self._owned else None
        if self._reading.total() >= limits.connections or (share is not None and self._reading[owner] >= share):
            raise Refusal("unknown_error", "there are too many requests; try again later.", status=429)
