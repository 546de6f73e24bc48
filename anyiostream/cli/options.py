"""Options of `open_run` on the command line, for every subcommand that opens runs."""

from __future__ import annotations

import argparse
from typing import Any, Final

from anyiostream import open_run
from anyiostream.cli.loading import UsageError
from anyiostream.errors import InvalidBound

__all__ = ["add_run_options", "run_options"]

NAMES: Final = ("grace", "max_scheduled")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add them to a subcommand's parser."""
    parser.add_argument(
        "--grace",
        type=float,
        metavar="SECONDS",
        help="time for a graph, or a transformer's hook, to end once it has been cancelled; inf for no limit (5)",
    )
    parser.add_argument(
        "--max-scheduled",
        type=_number,
        metavar="N",
        help="scheduled coroutines of transformers that run at a time, in each run; inf for no limit (100)",
    )


def run_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Those that were given, as keyword arguments of `open_run`.

    Raises:
        UsageError: One of them is not a valid bound.
    """
    options = {name: value for name in NAMES if (value := getattr(arguments, name)) is not None}
    try:
        open_run([], **options)
    except InvalidBound as exc:
        raise UsageError(str(exc)) from exc
    return options


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number
