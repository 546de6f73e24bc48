"""`Answers`: large answers in JSON, sent as their clients take them, and how many of them there may be at a time.

A server holds an answer until its client has taken it, which may never be. So of a large one little is passed on at a
time, only so many are sent, and of a long list no more is made than the client has asked for by reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from typing import Any, Final, final

from anyio.lowlevel import checkpoint
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from anyiostream.remote.limits import Limits
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.requests import HEADERS, answer_encoded, refused
from anyiostream.wire.jsonable import encode

__all__ = ["PIECE", "Answers", "send_all"]

PIECE: Final = 64 * 1024
"""Bytes that are passed on at a time. An answer that has no more is small: it is sent in one go, and not counted."""

AT_ONCE: Final = 2**20
"""Bytes of a list that are made before it is sent. What fails until then is an error of its own."""

MEDIA_TYPE: Final = "application/json"


@final
class Answers:
    """The large answers that one server is sending.

    Args:
        limits: How many there may be: as many as streams.
        owned: Whether there are several owners, each with a part of that.
    """

    def __init__(self, limits: Limits, *, owned: bool) -> None:
        self._most = limits.connections
        self._most_of_one = limits.owner_connections if owned else None
        self._sending: Counter[str] = Counter()

    def of(self, owner: str, value: Any) -> Response:
        """The answer to an owner that has a value."""
        return self.encoded(owner, encode(value))

    def encoded(self, owner: str, *parts: bytes) -> Response:
        """The same of a value that is encoded, in parts: they are not joined, as others may hold them, too."""
        if sum(map(len, parts)) <= PIECE:
            return answer_encoded(b"".join(parts))
        return Large(self, owner, parts)

    async def listed(self, owner: str, items: AsyncGenerator[bytes]) -> Response:
        """The answer that has a list, whose items are encoded. Raises what `items` raises, if it does so early."""
        begun: list[bytes] = []
        size = 0
        try:
            async for item in items:
                begun += [b"," if begun else b"[", item]
                size += len(item)
                if size > AT_ONCE:
                    return Large(self, owner, begun, items)
        except BaseException:
            await items.aclose()
            raise
        return self.encoded(owner, *(begun or [b"["]), b"]")

    @contextmanager
    def sending(self, owner: str) -> Generator[None]:
        """A block in which a large answer is sent.

        Raises:
            Refusal: There are too many (429).
        """
        if self._sending.total() >= self._most:
            raise Refusal("unknown_error", "too many large answers are being read; try again later.", status=429)
        if self._most_of_one is not None and self._sending[owner] >= self._most_of_one:
            raise Refusal("unknown_error", "you are reading too many large answers; try again later.", status=429)
        self._sending[owner] += 1
        try:
            yield
        finally:
            self._sending[owner] -= 1
            self._sending += Counter()  # without the owners who are done


@final
class Large(Response):
    """An answer that is sent as it is taken.

    Args:
        answers: Those that are being sent.
        owner: Who is answered.
        parts: The answer, or its beginning.
        items: The further items of a list.
    """

    def __init__(
        self, answers: Answers, owner: str, parts: Sequence[bytes], items: AsyncGenerator[bytes] | None = None
    ) -> None:
        super().__init__(None, 200, HEADERS, MEDIA_TYPE)
        del self.headers["content-length"]
        if items is None:
            self.headers["content-length"] = str(sum(map(len, parts)))
        self._answers = answers
        self._owner = owner
        self._parts = parts
        self._items = items

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. A list whose further items cannot be made is broken off."""
        async with aclosing(self._items or _nothing()) as items:
            with ExitStack() as place:
                try:
                    place.enter_context(self._answers.sending(self._owner))
                except Refusal as refusal:
                    await refused(refusal)(scope, receive, send)
                    return
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await send_all(send, self._parts)
                async for item in items:
                    await send_all(send, (b"," + item,))
                await send({"type": "http.response.body", "body": b"" if self._items is None else b"]"})


async def _nothing() -> AsyncGenerator[bytes]:
    no_items: tuple[bytes, ...] = ()
    for each in no_items:
        yield each


async def send_all(send: Send, parts: Sequence[bytes]) -> None:
    """Send parts of a body that goes on, little at a time: a server is to hold back no more. Checkpoints."""
    for part in parts:
        for begin in range(0, len(part), PIECE):
            await send({"type": "http.response.body", "body": part[begin : begin + PIECE], "more_body": True})
            await checkpoint()  # servers need not
