"""`--limit NAME=VALUE` of `anyiostream serve`: the fields of `Limits`, by their names."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import attrs

from anyiostream.cli.loading import UsageError

if TYPE_CHECKING:
    from anyiostream.remote import Limits

__all__ = ["add_limits", "limits_of"]


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the option to a subcommand's parser. It may be given several times."""
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a bound of the server, as in `--limit runs=200`; none for no bound, where that is possible; see "
        "anyiostream.remote.Limits",
    )


def limits_of(given: Sequence[str]) -> Limits:
    """The limits, with the given values in place of the defaults; of several values, the last one counts.

    Raises:
        UsageError: A name is not that of a limit, or its value is not allowed.
    """
    from anyiostream.remote import Limits  # noqa: PLC0415 -- an extra

    fields = attrs.fields_dict(Limits)
    values: dict[str, Any] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator:
            raise UsageError(f"--limit {text}: write NAME=VALUE, as in --limit runs=200")
        if name not in fields:
            close = get_close_matches(name, fields, n=1)
            meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(fields)}"
            raise UsageError(f"--limit {text}: no limit is called {name}; {meant}")
        try:
            values[name] = _value(value, whole="float" not in str(fields[name].type))
            Limits(**{name: values[name]})
        except ValueError as exc:
            raise UsageError(f"--limit {text}: {exc}") from exc
    return Limits(**values)


def _value(text: str, *, whole: bool) -> float | None:
    """A number, or `None` for `none`. `Limits` itself checks whether it is allowed."""
    if text.lower() == "none":
        return None
    try:
        return int(text) if whole else float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a {'whole number' if whole else 'number'}.") from None
