"""`Transport`: requests to a server that is not trusted, and what it answers, read within bounds.

Everything that is read is counted, compressed answers by their decompressed size. An answer outside the protocol (a
proxy's page, a redirect, half an answer) raises `RemoteMalformed`, which says what it is instead.
"""

from __future__ import annotations

import email.utils
import json
import math
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Final, NoReturn, final

import httpx
from anyio.lowlevel import checkpoint

from anyiostream.remote.receiving import RemoteGap, RemoteMalformed, RemoteRefused, RemoteUnreachable, decoded
from anyiostream.remote.refusals import GONE

__all__ = ["Inflater", "Transport", "TryAgain", "retry_after"]

LONGEST_REFUSAL: Final = 64 * 1024
"""Bytes of a refusal that are read."""

LONGEST_TEXT: Final = 1000
"""Characters of a server's words that an exception repeats."""

CHUNK: Final = 64 * 1024
"""Bytes that a compressed piece is read in."""

COMPRESSIONS: Final = {"gzip": 47, "x-gzip": 47, "deflate": 47}
"""Content encodings that are read -> zlib's `wbits`, which stands for whichever header there is."""

OK: Final = 200

ACCEPTED: Final = 202

RETRIED: Final = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses after which the same request may succeed."""


@final
class TryAgain(Exception):
    """A stream has ended, and may be opened again.

    Attributes:
        after: Seconds that the server asks to wait before.
    """

    def __init__(self, after: float = 0.0) -> None:
        super().__init__(after)
        self.after: Final = after


@final
class Transport:
    """An HTTP client.

    Args:
        http: Makes the requests.
        largest: Bytes that an answer may have.
    """

    def __init__(self, http: httpx.AsyncClient, largest: int) -> None:
        self._http = http
        self._largest = largest

    async def ask(self, method: str, path: str, **options: Any) -> tuple[Any, Mapping[str, str]]:
        """What the server answers, in JSON, and its headers.

        Raises:
            RemoteRefused: It refuses.
            RemoteGap: It no longer has what was asked for.
            RemoteMalformed: Its answer is not one of the protocol's.
            RemoteUnreachable: It cannot be reached, or breaks off.
        """
        try:
            async with self._http.stream(method, path, **options) as response, _pieces(response) as pieces:
                if response.is_error:
                    raise _refusal(response, await _beginning(pieces))
                _check(response, "application/json", {OK, ACCEPTED})
                return decoded(await self._whole(pieces)), response.headers
        except httpx.TransportError as exc:
            raise RemoteUnreachable(1, asked=f"{method} {path}") from exc

    @asynccontextmanager
    async def stream(self, path: str, **options: Any) -> AsyncGenerator[AsyncIterator[bytes]]:
        """A block in which a stream is open; its pieces, as they arrive.

        Raises:
            TryAgain: It can perhaps be opened later.
            RemoteRefused, RemoteGap, RemoteMalformed: As for `ask`.
            httpx.TransportError: The connection is lost.
        """
        async with self._http.stream("POST", path, **options) as response:
            if response.status_code in RETRIED:
                raise TryAgain(retry_after(response.headers) or 0.0)
            async with _pieces(response) as pieces:
                if response.is_error:
                    raise _refusal(response, await _beginning(pieces))
                _check(response, "text/event-stream", {OK})
                yield pieces

    async def _whole(self, pieces: AsyncIterator[bytes]) -> bytes:
        read, size = [], 0
        async for piece in pieces:
            size += len(piece)
            if size > self._largest:
                raise RemoteMalformed(f"it has more than {self._largest} bytes")
            read.append(piece)
        return b"".join(read)


@final
class Inflater:
    """Decompresses what comes in pieces into pieces of at most `CHUNK` bytes."""

    def __init__(self, compression: str) -> None:
        """For a content encoding.

        Raises:
            RemoteMalformed: It is not one that was requested.
        """
        if compression not in COMPRESSIONS:
            raise RemoteMalformed(f"it is encoded as {compression[:LONGEST_TEXT]!r}, which was not requested")
        self._inflating = zlib.decompressobj(COMPRESSIONS[compression])
        self._begun = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What `piece` holds.

        Raises:
            RemoteMalformed: It is not compressed with that encoding.
        """
        self._begun = self._begun or bool(piece)
        try:
            while piece and not self._inflating.eof:
                found = self._inflating.decompress(piece, CHUNK)
                piece = self._inflating.unconsumed_tail
                if found:
                    yield found
        except zlib.error as exc:
            raise RemoteMalformed("it is not compressed as its headers say") from exc

    def close(self) -> None:
        """The last piece has been fed.

        Raises:
            RemoteMalformed: The data is incomplete.
        """
        if self._begun and not self._inflating.eof:
            raise RemoteMalformed("it is cut off: the compressed data has no end")


@asynccontextmanager
async def _pieces(response: httpx.Response) -> AsyncGenerator[AsyncIterator[bytes]]:
    """A response's body, in pieces as they arrive; it may be left at any time.

    httpx reads through a chain of generators; closing the outermost leaves the inner ones to the garbage collector.
    Reading on after the connection has been closed ends all of them.
    """
    raw = response.aiter_raw()
    compression = response.headers.get("content-encoding", "identity").strip().lower()
    try:
        if compression in {"", "identity"}:
            yield raw
        else:
            async with aclosing(_inflated(raw, Inflater(compression))) as pieces:
                yield pieces
    finally:
        await response.aclose()
        with suppress(httpx.HTTPError, httpx.StreamError):
            async for _ in raw:
                pass


async def _inflated(raw: AsyncIterator[bytes], inflater: Inflater) -> AsyncGenerator[bytes]:
    """What is in `raw`. Checkpoints after each piece: a small one may become a thousand."""
    async for piece in raw:
        for found in inflater.feed(piece):
            yield found
            await checkpoint()
    inflater.close()


async def _beginning(pieces: AsyncIterator[bytes]) -> bytes:
    """As much of a refusal as says why; nothing, if the connection does not hold that long."""
    read: list[bytes] = []
    size = 0
    with suppress(httpx.TransportError, RemoteMalformed):
        async for piece in pieces:
            read.append(piece)
            size += len(piece)
            if size > LONGEST_REFUSAL:
                break
    return b"".join(read)


def _refusal(response: httpx.Response, content: bytes) -> RemoteRefused | RemoteGap:
    status = response.status_code
    code, text = "unknown_error", f"HTTP status {status}"
    with suppress(ValueError, RecursionError):
        told = json.loads(content)
        if isinstance(told, dict) and isinstance(told.get("error"), str) and isinstance(told.get("message"), str):
            code, text = told["error"][:LONGEST_TEXT], told["message"][:LONGEST_TEXT]
    return RemoteGap(text) if status == GONE else RemoteRefused(code, text, status, retry_after(response.headers))


def _check(response: httpx.Response, wanted: str, statuses: set[int]) -> None:
    """Whether it is an answer at all. Servers need not say what it is."""
    if response.is_redirect:
        place = response.headers.get("location", "")[:LONGEST_TEXT]
        _malformed(f"it is a redirect to {place!r}; connect to that address if it is right")
    if response.status_code not in statuses:
        _malformed(f"its HTTP status is {response.status_code}")
    said = response.headers.get("content-type")
    if said is not None and said.partition(";")[0].strip().lower() != wanted:
        _malformed(f"it is {said[:LONGEST_TEXT]!r}, not {wanted!r}; is something else at that address?")


def _malformed(text: str) -> NoReturn:
    raise RemoteMalformed(text)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, by its `Retry-After`: a number, or a date. `None` if it does not ask."""
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit() and len(said) <= len(str(2**53)):
        return float(said)
    try:
        until = email.utils.parsedate_to_datetime(said).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    wait = until - time.time()
    return max(0.0, wait) if math.isfinite(wait) else None
