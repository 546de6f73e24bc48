"""`Proxy`: a TCP proxy on AnyIO that cuts, stalls, delays, and loses what goes one way, for tests of networks.

It forwards bytes between whoever connects and an address, or several in turn. What goes wrong is told to it
while it runs, for the connections that there are and for those that come: nothing about it is random, so a test that
draws its faults from a seed can be repeated.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Literal, final

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener

__all__ = ["Direction", "Proxy", "proxy"]

Direction = Literal["there", "back"]
"""From whoever has connected to the address, or from there."""

GONE: Final = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


@final
class Proxy:
    """A proxy that listens on loopback.

    Args:
        targets: Hosts and ports. Where there are several, connections go round them; one that cannot be reached is
            passed over.

    Attributes:
        port: Where.
        accepted: Connections that have been made so far.
        delay: Seconds that each piece is held back.
    """

    def __init__(self, targets: Sequence[tuple[str, int]]) -> None:
        self.port = 0
        self.accepted = 0
        self.delay = 0.0
        self._targets = targets
        self._refusing = False
        self._stalled: set[Direction] = set()
        self._lost: set[Direction] = set()
        self._cut_next: set[Direction] = set()
        self._moved = anyio.Event()
        self._scopes: set[anyio.CancelScope] = set()

    @property
    def connections(self) -> int:
        """Connections that there are."""
        return len(self._scopes)

    def target(self, *targets: tuple[str, int]) -> None:
        """Let connections that are made from now on lead elsewhere. Those that there are stay."""
        self._targets = targets

    def cut(self) -> None:
        """End every connection; new ones may be made."""
        for scope in self._scopes:
            scope.cancel()

    def cut_next(self, direction: Direction) -> None:
        """End the connection over which something comes next in a direction, in place of passing it on.

        There: a request that never arrives. Back: one that has been done, whose answer is lost.
        """
        self._cut_next.add(direction)

    def refuse(self, *, refusing: bool = True) -> None:
        """Accept no connections any more, or accept them again. Those that there are stay."""
        self._refusing = refusing

    def stall(self, *directions: Direction) -> None:
        """Hold everything back, by default both ways, until `heal`: nothing is lost, and nobody is told."""
        self._stalled |= set(directions or ("there", "back"))

    def lose(self, *directions: Direction) -> None:
        """Throw away what comes, by default both ways, until `heal`: nobody is told."""
        self._lost |= set(directions or ("there", "back"))

    def heal(self) -> None:
        """Let everything through again. A connection that has lost something is of no use, and is cut."""
        if self._lost:
            self.cut()
        self._stalled, self._lost, self.delay, self._refusing = set(), set(), 0.0, False
        moved, self._moved = self._moved, anyio.Event()
        moved.set()

    async def serve(self, client: ByteStream) -> None:
        """Forward one connection until it ends."""
        self.accepted += 1
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                if self._refusing:
                    return
                async with client, await self._connected() as server, anyio.create_task_group() as tasks:
                    tasks.start_soon(self._forward, client, server, "there", tasks.cancel_scope)
                    await self._forward(server, client, "back", tasks.cancel_scope)
            except* GONE:
                pass
            finally:
                self._scopes.discard(scope)
                with anyio.CancelScope(shield=True), suppress(*GONE):
                    await anyio.aclose_forcefully(client)

    async def _connected(self) -> ByteStream:
        for n in range(len(self._targets)):
            target = self._targets[(self.accepted + n) % len(self._targets)]
            try:
                return await anyio.connect_tcp(*target)
            except OSError:
                if n + 1 == len(self._targets):
                    raise
        raise AssertionError

    async def _forward(
        self, source: ByteStream, target: ByteStream, direction: Direction, scope: anyio.CancelScope
    ) -> None:
        with suppress(*GONE):
            async for piece in source:
                if self.delay:
                    await anyio.sleep(self.delay)
                while direction in self._stalled:
                    await self._moved.wait()
                if direction in self._cut_next:
                    self._cut_next.discard(direction)
                    break
                if direction not in self._lost:
                    await target.send(piece)
        scope.cancel()


@asynccontextmanager
async def proxy(*targets: tuple[str, int], tls: ssl.SSLContext | None = None) -> AsyncGenerator[Proxy]:
    """A block in which there is a proxy to these addresses; with `tls`, connections to it are encrypted."""
    between = Proxy(targets)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        between.port = listener.extra(SocketAttribute.local_port)
        secured = listener if tls is None else TLSListener(listener, tls, standard_compatible=False)
        tasks.start_soon(secured.serve, between.serve)
        yield between
        tasks.cancel_scope.cancel()
