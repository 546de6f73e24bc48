"""`Lane`: commands to a server over one connection, in order, which is replaced when anything is wrong with it.

What coredis does with a command that is cancelled, retried, or late is kept out of this: there is no pool, nothing is
retried blindly, and a reply that does not come in time ends the whole connection, so that no later command can get it.
Then the fate of every command on its way is unknown (`Lost`), and its sender decides whether to repeat it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any, Final, final

import anyio
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint_if_cancelled
from coredis.connection import TCPConnection
from coredis.exceptions import ConnectionError as Disconnected
from coredis.exceptions import ReadOnlyError, RedisError, UnblockedError

from anyiostream.remote.backoff import Backoff
from anyiostream.remote.store.redis.address import Address, discard
from anyiostream.tooling import leaves

__all__ = ["Lane", "Lost", "Reply"]

logger = logging.getLogger(__name__)


def _is_news(record: logging.LogRecord) -> bool:
    """Drops coredis's log of failed connection attempts: what a call raises says so, once."""
    return not str(record.msg).startswith("Connection attempt failed")


logging.getLogger("coredis").addFilter(_is_news)
Reply = Any
"""What a server says to a command: bytes, integers, lists of these, or an exception of its own."""

BROKEN: Final = (Disconnected, ReadOnlyError, UnblockedError)
"""Replies after which a connection is unusable: it has ended, or its server is no longer a primary."""

CONNECTING: Final = Backoff(first=0.05, longest=1.0)
"""Between attempts to connect. A connection that was made and lost counts as none that failed."""


LATE: Final = 0.2
"""Seconds after a deadline from which on the event loop has been blocked: then nothing had its time."""


@final
class Lost(Exception):
    """A command may or may not have been done: its connection is gone, or has not been made.

    Attributes:
        blocked: Whether its deadline has passed while the event loop was blocked, so that its reply may be there.
    """

    def __init__(self, reason: str, *, blocked: bool = False) -> None:
        super().__init__(reason)
        self.blocked: Final = blocked


@final
class Lane:
    """One connection to a server, as long as `run` runs, which `close` ends. A cancellation from outside does not.

    Whoever uses the connection may be cancelled together with the task that keeps it, and what it has asked for must
    still be answered: so that task goes on until its user has ended.

    Args:
        address: Where the server is.
        name: What the server calls the connection.
        deadline: Seconds that a reply may take, and that connecting may take.
        waits: Seconds for which the server may be asked to wait before it replies.

    Attributes:
        made: Connections that have been made so far.
        refused: Why the last attempt to connect failed; `None` since one has succeeded.
        closed: Whether it has been run to its end.
    """

    def __init__(self, address: Address, name: str, deadline: float, waits: float = 0.0) -> None:
        self._address = address
        self._name = name
        self._deadline = deadline
        self._waits = waits
        self._connection: TCPConnection | None = None
        self._changed = anyio.Event()
        self._scope = anyio.CancelScope(shield=True)
        self.made = 0
        self.refused: Exception | None = None
        self.closed = False

    async def run(self) -> None:
        """Keep it connected until it is closed."""
        try:
            with self._scope:
                await self._connect()
        finally:
            self.closed = True
            self._changed.set()

    def close(self) -> None:
        """End it, or have it end as soon as it is run."""
        self._scope.cancel()

    async def _connect(self) -> None:
        failures = 0
        while True:
            before, made = self.made, None
            try:
                made = connection = await self._address.connection(self._name, self._deadline)
                async with anyio.create_task_group() as tasks:
                    ended = anyio.Event()
                    with anyio.fail_after(self._deadline):
                        await tasks.start(_held, connection, ended)
                    self._up(connection)
                    await ended.wait()
                    tasks.cancel_scope.cancel()
            except* (RedisError, OSError) as group:
                self.refused = next(leaf for leaf in leaves(group) if isinstance(leaf, Exception))
            finally:
                self._connection = None
                if made is not None:
                    discard(made)
            failures = 0 if self.made > before else failures + 1
            await anyio.sleep(CONNECTING.pause(failures))

    async def ask(self, *commands: Sequence[Any], within: float = math.inf, over: int | None = None) -> list[Reply]:
        """Send commands together, and wait for their replies, an exception of the server's among them.

        Args:
            commands: Each its name and its arguments.
            within: Seconds that the replies may take; at most the lane's deadline.
            over: The connection that they may be sent over, by the value that `made` has with it; by default any.

        Raises:
            Lost: Whether they were done is not known.
        """
        until = anyio.current_time() + min(within, self._deadline + self._waits)
        await checkpoint_if_cancelled()
        with anyio.CancelScope(deadline=until):
            while (connection := self._connection) is None or not connection.usable:
                if self.closed:
                    raise Lost("the store has been closed")
                await self._changed.wait()
            if over not in {None, self.made}:
                raise Lost("it has been connected anew")
            with anyio.CancelScope(deadline=until, shield=True):
                return await _asked(connection, commands)
            connection.invalidate("a reply is late")
        raise Lost(str(self.refused or "it does not answer"), blocked=anyio.current_time() > until + LATE)

    def _up(self, connection: TCPConnection) -> None:
        self._connection, self.refused = connection, None
        self.made += 1
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


async def _asked(connection: TCPConnection, commands: Sequence[Sequence[Any]]) -> list[Reply]:
    try:
        requests = [
            connection.create_request(name, *arguments, raise_exceptions=False) for name, *arguments in commands
        ]
    except RedisError as exc:
        raise Lost(str(exc)) from exc
    replies = [await request.get_result() for request in requests]
    broken = next((each for each in replies if isinstance(each, BROKEN)), None)
    if broken is not None:
        connection.invalidate("it is no longer usable")
        raise Lost(str(broken)) from broken
    return replies


async def _held(
    connection: TCPConnection, ended: anyio.Event, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    try:
        await connection.run(task_status=task_status)
    finally:
        ended.set()
