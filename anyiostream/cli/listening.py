"""Serving an application until the process is told to stop, and saying so: for `serve` and `view`."""

from __future__ import annotations

import gc
import json
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio

from anyiostream import asyncio_host
from anyiostream.cli.loading import UsageError
from anyiostream.tooling import on_trio

if TYPE_CHECKING:
    from hypercorn.config import Config

__all__ = ["LEVELS", "configured", "listen", "logged", "say", "shown"]

LEVELS: Final = ("debug", "info", "warning", "error")

GRACE: Final = 3.0
"""Seconds that open requests are given when the server stops."""

KEEP_ALIVE: Final = 75.0
"""Seconds for which a connection without requests is kept: longer than clients (5) and proxies (60) keep theirs.

On trio hypercorn closes it when they have passed, even if a request has just come.
"""

YOUNG: Final = 20_000
"""Objects after which the garbage collector looks at the youngest ones, instead of 700."""

REFUSED: Final = 400

ERROR: Final = b'{"type":"error"'
"""How the answer to a command begins that is refused, whatever its status."""

FIRST: Final = 2000
"""Bytes of a refusal that are searched for its reason."""

logger = logging.getLogger("anyiostream.requests")

Application = Callable[..., Awaitable[None]]


def say(text: str) -> None:
    """A program's word to its user."""
    print(f"anyiostream: {text}", file=sys.stderr, flush=True)  # noqa: T201 -- a program's own message


def configured(host: str, port: int, level: str) -> Config:
    """The server's configuration; and logs go to standard error."""
    from hypercorn.config import Config  # noqa: PLC0415 -- an extra

    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    config = Config()
    config.bind = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
    config.graceful_timeout = GRACE
    config.keep_alive_timeout = KEEP_ALIVE
    config.websocket_ping_interval = 20.0
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn")
    config.errorlog.setLevel(max(logging.WARNING, logging.getLogger().level))
    return config


def logged(application: Any) -> Application:
    """An application whose requests are logged, and refusals with their reasons."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        status, reason, begun, refused = 0, b"", False, False

        async def noting(message: Any) -> None:
            nonlocal status, reason, begun, refused
            if message["type"] == "http.response.start":
                status = message["status"]
                refused = status >= REFUSED
            else:
                body = message.get("body", b"")
                if not begun and not refused:
                    refused = body.startswith(ERROR)
                    if not refused:
                        logger.info("%s %s %s", scope["method"], shown(scope["path"]), status)
                begun = True
                if refused and len(reason) < FIRST:
                    reason += body[:FIRST]
            await send(message)

        try:
            await application(scope, receive, noting)
        finally:
            if refused:
                logger.warning("%s %s %s: %s", scope["method"], shown(scope["path"]), status, _reason(reason))

    return wrapped


def shown(text: str) -> str:
    """Text from a client, on one line, as characters only."""
    return text.encode("unicode_escape").decode("ascii")


def _reason(body: bytes) -> str:
    try:
        return shown(str(json.loads(body)["message"]))
    except (ValueError, KeyError, TypeError):
        return "refused"


async def listen(application: Application, config: Config, what: str, stopping: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        application: What is served.
        config: How.
        what: What it is, for the user.
        stopping: Called when it is told to stop.

    Raises:
        UsageError: It cannot listen there.
    """
    try:
        sockets = config.create_sockets()
    except OSError as exc:
        raise UsageError(f"cannot listen on {config.bind[0]}: {exc.strerror}; --host and --port name another") from exc
    for each in sockets.insecure_sockets:
        each.listen(config.backlog)
        address, port = each.getsockname()[:2]
        place = f"[{address}]" if ":" in address else address
        say(f"serving {what} at http://{place}:{port}")
    config.bind = [f"fd://{each.detach()}" for each in sockets.insecure_sockets]

    async def stopped() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                break
        say("stopping")
        stopping()

    # For trio, the loop that graphs need; it ends with the program, not with the last run.
    async with asyncio_host():
        with _collecting_less():
            await _server()(application, config, shutdown_trigger=stopped)


@contextmanager
def _collecting_less() -> Generator[None]:
    """A block in which the garbage collector looks less often, and not at what has been loaded by now, which stays.

    On trio each send of hypercorn's leaves a cycle. While 200 viewers followed runs of 100 events a second, collections
    took 3.7 s of 12, up to 0.18 s at a time; this way 0.4 s, up to 0.08.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    if before[0]:  # otherwise the program collects by itself
        gc.set_threshold(max(YOUNG, before[0]), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _server() -> Callable[..., Awaitable[None]]:
    if on_trio():
        import hypercorn.trio  # noqa: PLC0415 -- only where it runs

        return hypercorn.trio.serve
    import hypercorn.asyncio  # noqa: PLC0415 -- likewise

    return hypercorn.asyncio.serve
