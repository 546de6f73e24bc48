"""`anyiostream serve module:graph`: runs of graphs for remote clients, until the process is told to stop."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from anyiostream.cli.limits import add_limits, limits_of
from anyiostream.cli.listening import LEVELS, configured, listen, logged, say
from anyiostream.cli.loading import UsageError, load_graph, load_object, load_transformer
from anyiostream.cli.opening import opened
from anyiostream.cli.options import add_run_options, run_options
from anyiostream.cli.project import PROJECT, graphs_of_project
from anyiostream.errors import AnyioStreamError, MissingExtra

if TYPE_CHECKING:
    from hypercorn.config import Config
    from starlette.applications import Starlette

__all__ = ["add_parser", "serve"]

HERE = {"127.0.0.1", "::1", "localhost"}
"""Addresses that only this machine reaches."""

STORE_VARIABLE = "ANYIOSTREAM_STORE"
"""The variable of the environment that names the store, where the command line does not."""


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
        nargs="*",
        metavar="[name=]module:graph",
        help="a graph, and the name by which clients ask for it: by default the last part of its own; "
        f"without any, those that {PROJECT} names",
    )
    parser.add_argument(
        "--project", type=Path, metavar="FILE", help=f"a {PROJECT}, whose graphs and environment are served as well"
    )
    parser.add_argument("--log-level", choices=LEVELS, default="info", help="what is logged (default: %(default)s)")
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
        "--operator",
        action="append",
        default=[],
        metavar="OWNER",
        help="an owner, as --authorize names it, who may read GET /stats",
    )
    parser.add_argument(
        "--transformer",
        action="append",
        default=[],
        metavar="module:class",
        help="a transformer for every run; its named channels are custom:<name> to clients",
    )
    add_run_options(parser)
    add_limits(parser)
    parser.add_argument("--no-page", action="store_true", help="do not serve the page at /")
    parser.add_argument(
        "--store",
        default=os.environ.get(STORE_VARIABLE, "memory"),
        metavar="STORE",
        help="where threads live: memory (the default), sqlite:FILE, where they outlive this process, or "
        "redis://HOST:PORT, which several servers share; an address with a password is safer in the environment, "
        f"as {STORE_VARIABLE}",
    )
    parser.add_argument(
        "--codec",
        metavar="module:object",
        help="encodes what users write before it is stored, to encrypt it, say",
    )
    parser.set_defaults(func=serve)


def serve(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; the exit status.

    Raises:
        UsageError: A graph, a transformer, the hook or the `remote` extra is not there, a limit is wrong, or the
            address is taken.
    """
    try:
        importlib.import_module("hypercorn.config")  # an extra

        from anyiostream.remote import LOOPBACK, Assistant, app  # noqa: PLC0415 -- likewise
    except ImportError as exc:
        raise UsageError(str(MissingExtra("anyiostream serve", "remote"))) from exc
    graphs = [*_of_project(arguments), *arguments.graphs]
    say(f"loading {', '.join(graphs)}")
    assistants = dict(_named(graph) for graph in graphs)
    if len(assistants) != len(graphs):
        raise UsageError(f"two of {' '.join(graphs)} have the same name; write name=module:graph")
    options = run_options(arguments)
    transformers = [load_transformer(name) for name in arguments.transformer]
    authorize = load_object(arguments.authorize) if arguments.authorize else None
    limits = limits_of(arguments.limit)
    store = _store(arguments.store, load_object(arguments.codec) if arguments.codec else None)
    make = partial(
        app,
        transformers=transformers,
        authorize=authorize,
        operators=arguments.operator,
        limits=limits,
        hosts=[*LOOPBACK, *arguments.allow_host],
        origins=arguments.allow_origin,
        store=store,
    )
    config = configured(arguments.host, arguments.port, arguments.log_level)
    config.websocket_max_message_size = limits.frame

    def made(graphs: Mapping[str, Any]) -> Starlette:
        try:
            served = make({name: Assistant(graph=graph, options=options) for name, graph in graphs.items()})
        except AnyioStreamError as exc:
            raise UsageError(str(exc)) from exc
        return _with_page(served, wanted=not arguments.no_page)

    _warn(arguments)
    try:
        anyio.run(_serve, made, config, assistants, backend=arguments.backend)
    except KeyboardInterrupt:  # a second one, while the server was stopping
        return 130
    return 0


def _of_project(arguments: argparse.Namespace) -> list[str]:
    """The graphs of the project's file, if one is named, or is there and no graph is named."""
    path = arguments.project
    if path is None and not arguments.graphs:
        path = Path(PROJECT)
        if not path.is_file():
            raise UsageError(f"name a graph, as in `serve module:graph`; there is no {PROJECT} here that does")
    return [] if path is None else [f"{name}={target}" for name, target in graphs_of_project(path).items()]


def _with_page(application: Starlette, *, wanted: bool) -> Starlette:
    """The application, with the page if it is wanted, and there: it may have been left out of an installation."""
    if not wanted:
        return application
    try:
        from anyiostream.page import add_page  # noqa: PLC0415 -- an extra
    except ModuleNotFoundError:
        return application
    return add_page(application)


def _named(graph: str) -> tuple[str, Any]:
    name, separator, target = graph.rpartition("=")
    return name if separator else target.rpartition(":")[2].rpartition(".")[2], load_graph(target, may_open=True)


def _store(name: str, codec: Any) -> Any:
    from anyiostream.remote.store import StoreUnfit, named_store  # noqa: PLC0415 -- an extra

    try:
        return named_store(name, codec)
    except (StoreUnfit, MissingExtra) as exc:
        raise UsageError(str(exc)) from exc


def _warn(arguments: argparse.Namespace) -> None:
    if arguments.host in HERE:
        say(f"serving this machine only, on {arguments.host}; whoever is on it may use every thread")
    elif arguments.authorize is None:
        say(f"WARNING: listening on {arguments.host} without --authorize; whoever reaches it may use every thread")
    if arguments.host not in HERE and not arguments.allow_host:
        say("WARNING: only requests for localhost are answered; name other hosts with --allow-host")


async def _serve(made: Callable[[Mapping[str, Any]], Starlette], config: Config, graphs: Mapping[str, Any]) -> None:
    from anyiostream.remote import close_streams  # noqa: PLC0415 -- an extra

    async with opened(graphs) as assistants:
        application = made(assistants)
        await _check_store(application.state.service)
        page = " with a page" if any(getattr(route, "path", "") == "/" for route in application.routes) else ""
        what = f"{', '.join(assistants)}{page}"
        await listen(logged(application), config, what, lambda: close_streams(application))


async def _check_store(service: Any) -> None:
    """What is wrong with it is said in a line, and not by the server's failure."""
    from anyiostream.remote.store import CodecFailed, StoreInUse, StoreUnfit  # noqa: PLC0415 -- an extra

    try:
        async with service.store.open(service.limits):
            pass
    except (CodecFailed, StoreInUse, StoreUnfit) as exc:
        raise UsageError(str(exc)) from exc
