"""`anyiostream store backup FILE TARGET`: a copy of what a server keeps, even while it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from anyiostream.cli.loading import UsageError
from anyiostream.errors import MissingExtra

__all__ = ["add_parser", "backup"]


def add_parser(subparsers: Any) -> None:
    """Add the subcommand to the command line's parser."""
    parser = subparsers.add_parser(
        "store",
        help="look after a file that a server keeps threads in",
        description="Look after a file that `serve --store sqlite:FILE` keeps threads in.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    copy = commands.add_parser(
        "backup",
        help="copy it as it is at one moment, even while a server uses it",
        description="Copy a file that a server keeps threads in, as it is at one moment, even while the server runs. "
        "To restore it, stop the server, put the copy in the file's place, remove FILE-wal and FILE-shm, and start the "
        "server again. Clients that have read what came after the copy are told that there is a gap.",
    )
    copy.add_argument("file", type=Path, metavar="FILE", help="the file, as `--store sqlite:FILE` names it")
    copy.add_argument("target", type=Path, metavar="TARGET", help="the copy, which must not be there yet")
    copy.set_defaults(func=backup)


def backup(arguments: argparse.Namespace) -> int:
    """Copy the file; the exit status.

    Raises:
        UsageError: There is no store, the target is there already, or the `remote` extra is missing.
    """
    try:
        from anyiostream.remote.store import StoreUnfit, back_up  # noqa: PLC0415 -- an extra
    except ImportError as exc:
        raise UsageError(str(MissingExtra("anyiostream store", "remote"))) from exc
    try:
        back_up(arguments.file, arguments.target)
    except StoreUnfit as exc:
        raise UsageError(str(exc)) from exc
    return 0
