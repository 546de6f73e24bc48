"""`anyiostream serve module:graph`: runs of graphs for remote clients, until the process is told to stop."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import anyio

from anyiostream.cli.loading import UsageError, load_graph, load_object, load_transformer
from anyiostream.errors import MissingExtra
from anyiostream.loops import on_trio

if TYPE_CHECKING:
    from hypercorn.config import Config
    from starlette.applications import Starlette

__all__ = ["add_parser", "serve"]

HERE = {"127.0.0.1", "::1", "localhost"}
"""Addresses that only this machine reaches."""

GRACE = 3.0
"""Seconds that open requests are given when the server stops."""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand to the command line's parser."""
    parser = subparsers.add_parser(
        "serve",
        help="serve graphs to remote clients",
        description="Serve graphs over SSE and WebSocket, to the official LangGraph clients. By default to this "
        "machine only, and to whoever is on it: for more, name hosts and an `authorize` hook.",
    )
    parser.add_argument(
        "graphs",
        nargs="+",
        metavar="[name=]module:graph",
        help="a graph, and the name by which clients ask for it: by default the last part of its own",
    )
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio", help="the event loop")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=2024, help="port to listen on; 0 for a free one (%(default)s)")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a host name by which clients may reach it"
    )
    parser.add_argument(
        "--allow-origin", action="append", default=[], metavar="URL", help="an origin whose pages may use it"
    )
    parser.add_argument("--authorize", metavar="module:hook", help="decides who may do what; see anyiostream.remote")
    parser.add_argument(
        "--transformer",
        action="append",
        default=[],
        metavar="module:class",
        help="a transformer for every run; its named channels are custom:<name> to clients",
    )
    parser.set_defaults(func=serve)


def serve(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; the exit status.

    Raises:
        UsageError: A graph, a transformer, the hook, or the extra `remote` is not there, or the address is taken.
    """
    try:
        from hypercorn.config import Config  # noqa: PLC0415 -- an extra

        from anyiostream.remote import LOOPBACK, app  # noqa: PLC0415 -- likewise
    except ImportError as exc:
        raise UsageError(str(MissingExtra("anyiostream serve", "remote"))) from exc
    assistants = dict(_named(graph) for graph in arguments.graphs)
    if len(assistants) != len(arguments.graphs):
        raise UsageError(f"two of {' '.join(arguments.graphs)} have one name; write name=module:graph")
    application = app(
        assistants,
        transformers=[load_transformer(name) for name in arguments.transformer],
        authorize=load_object(arguments.authorize) if arguments.authorize else None,
        hosts=[*LOOPBACK, *arguments.allow_host],
        origins=arguments.allow_origin,
    )
    config = Config()
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    config.bind = [f"{host}:{arguments.port}"]
    config.graceful_timeout = GRACE
    config.websocket_ping_interval = 20.0
    config.websocket_max_message_size = application.state.service.limits.frame
    config.accesslog = None
    _warn(arguments)
    try:
        anyio.run(_serve, application, config, list(assistants), backend=arguments.backend)
    except KeyboardInterrupt:  # a second one, while the server was stopping
        return 130
    return 0


def _named(graph: str) -> tuple[str, Any]:
    name, separator, target = graph.rpartition("=")
    return name if separator else target.rpartition(":")[2].rpartition(".")[2], load_graph(target)


def _warn(arguments: argparse.Namespace) -> None:
    if arguments.host in HERE:
        _say(f"serving this machine only, on {arguments.host}; whoever is on it may use every thread")
    elif arguments.authorize is None:
        _say(f"WARNING: listening on {arguments.host} without --authorize; whoever reaches it may use every thread")
    if arguments.host not in HERE and not arguments.allow_host:
        _say("WARNING: only requests for localhost are answered; name other hosts with --allow-host")


def _say(text: str) -> None:
    print(f"anyiostream: {text}", file=sys.stderr, flush=True)  # noqa: T201 -- a program's own message


async def _serve(application: Starlette, config: Config, names: Sequence[str]) -> None:
    from anyiostream.remote import close_streams  # noqa: PLC0415 -- an extra

    try:
        sockets = config.create_sockets()
    except OSError as exc:
        raise UsageError(f"cannot listen on {config.bind[0]}: {exc.strerror}; --host and --port name another") from exc
    for each in sockets.insecure_sockets:
        each.listen(config.backlog)
        address, port = each.getsockname()[:2]
        shown = f"[{address}]" if ":" in address else address
        _say(f"serving {', '.join(names)} at http://{shown}:{port}")
    config.bind = [f"fd://{each.detach()}" for each in sockets.insecure_sockets]

    async def stopped() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                break
        _say("stopping")
        close_streams(application)

    await _server()(application, config, shutdown_trigger=stopped)


def _server() -> Callable[..., Awaitable[None]]:
    if on_trio():
        import hypercorn.trio  # noqa: PLC0415 -- only where it runs

        return hypercorn.trio.serve
    import hypercorn.asyncio  # noqa: PLC0415 -- likewise

    return hypercorn.asyncio.serve
