"""The parser of the command line, and what its exit codes mean.

Each subcommand is a module that offers `add_parser(subparsers)`, which adds a parser and sets its `func`: a function of
the parsed arguments that returns the exit code. What a subcommand needs beyond the parser it imports when it runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import anyiostream
from anyiostream.cli import running, serve, store, view
from anyiostream.cli.loading import UsageError
from anyiostream.errors import MissingExtra

__all__ = ["USAGE", "main", "script"]

USAGE = 2
"""Exit code for arguments that cannot be used, as argparse has it."""


def script() -> int:
    """The console script `anyiostream`: `main`, under that name."""
    return main(prog="anyiostream")


def main(argv: Sequence[str] | None = None, *, prog: str = "python -m anyiostream") -> int:
    """Run the command line.

    Args:
        argv: The arguments; those of the process if not given.
        prog: What the user has called, for help and errors.

    Returns:
        The exit code of the subcommand; 2 if its arguments cannot be used.

    Raises:
        SystemExit: By argparse, with 2 for arguments that it does not know, and 0 after `--help`.
    """
    parser = argparse.ArgumentParser(
        prog=prog, description="Runs of agent graphs: as they happen, and for remote readers."
    )
    parser.add_argument("--version", action="version", version=f"anyiostream {anyiostream.__version__}")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    running.add_parser(subparsers)
    serve.add_parser(subparsers)
    view.add_parser(subparsers)
    store.add_parser(subparsers)
    arguments = parser.parse_args(argv)
    try:
        code: int = arguments.func(arguments)
    except (UsageError, MissingExtra) as exc:
        print(f"{parser.prog}: {exc}", file=sys.stderr)  # noqa: T201 -- a program's word to its user
        return USAGE
    return code
