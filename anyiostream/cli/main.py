"""`main`: the command line's parser, and the call of the subcommand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from anyiostream.cli import serve
from anyiostream.cli.loading import CannotLoad
from anyiostream.errors import MissingExtra

__all__ = ["main"]

SUBCOMMANDS = (serve,)
"""Modules with an `add_parser(subparsers)`, which sets `func`: what is called with the parsed arguments."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; the exit status.

    Args:
        arguments: Those after the program's name; by default the process's.
    """
    parser = argparse.ArgumentParser(prog="anyiostream", description="Runs of agent graphs, as streams.")
    subparsers = parser.add_subparsers(title="commands", required=True)
    for subcommand in SUBCOMMANDS:
        subcommand.add_parser(subparsers)
    parsed = parser.parse_args(arguments)
    try:
        status: int = parsed.func(parsed)
    except (CannotLoad, MissingExtra) as exc:
        print(f"anyiostream: {exc}", file=sys.stderr)  # noqa: T201 -- a program's own message
        return 2
    return status
