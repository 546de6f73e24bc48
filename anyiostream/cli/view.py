"""`anyiostream view log.jsonl`: recorded runs in the page, served to this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import anyio

from anyiostream.cli.listening import LEVELS, configured, listen, logged
from anyiostream.cli.loading import UsageError
from anyiostream.errors import AnyioStreamError, MissingExtra

__all__ = ["add_parser", "view"]


def add_parser(subparsers: Any) -> None:
    """Add the subcommand to the command line's parser."""
    parser = subparsers.add_parser(
        "view",
        help="show recorded runs in the browser",
        description="Show recorded runs in the browser. `anyiostream run GRAPH --record FILE` records one, and the "
        "lines of `anyiostream run GRAPH --json` can be shown, too.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a recorded run")
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio", help="the event loop")
    parser.add_argument(
        "--port", type=int, default=0, help="port to listen on, of 127.0.0.1; 0 for a free one (default)"
    )
    parser.add_argument("--log-level", choices=LEVELS, default="warning", help="what is logged (default: %(default)s)")
    parser.set_defaults(func=view)


def view(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; the exit status.

    Raises:
        UsageError: A file cannot be shown, the `remote` extra is missing, or the port is taken.
    """
    try:
        from anyiostream.page import Recording, recorded  # noqa: PLC0415 -- an extra
    except ImportError as exc:
        raise UsageError(str(MissingExtra("anyiostream view", "remote"))) from exc
    recordings = {}
    for path in arguments.files:
        try:
            recordings[path.stem] = Recording.read(path)
        except OSError as exc:
            raise UsageError(f"cannot read {path}: {exc.strerror}") from exc
        except AnyioStreamError as exc:
            raise UsageError(str(exc)) from exc
    if len(recordings) < len(arguments.files):
        raise UsageError("two of the files have the same name; rename one of them")
    config = configured("127.0.0.1", arguments.port, arguments.log_level)
    try:
        anyio.run(
            listen,
            logged(recorded(*recordings.values())),
            config,
            ", ".join(recordings),
            lambda: None,
            backend=arguments.backend,
        )
    except KeyboardInterrupt:  # a second one, while the server was stopping
        return 130
    return 0
