"""Suggestions for misspelt names."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["suggestion"]


def suggestion(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """`; did you mean 'messages'?`, or nothing if nothing known is as like `name` as that, from 0 to 1."""
    from difflib import get_close_matches  # noqa: PLC0415 -- for a message only

    close = get_close_matches(name, list(known), n=1, cutoff=likeness)
    return f"; did you mean {close[0]!r}?" if close else ""
