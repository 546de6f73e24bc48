"""The options of `open_run`: their types, and what is refused before anything runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from anyiostream.errors import InvalidBound, NotATransformer, UnknownOption
from anyiostream.errors.spelling import suggestion
from anyiostream.events import Namespace
from anyiostream.foreign import could_be
from anyiostream.transformer import StreamTransformer, TransformerFactory

__all__ = ["RunOptions", "check_bounds", "check_spelling", "check_transformers"]


class RunOptions(TypedDict, total=False):
    """The options that `open_run` takes for every graph; it says what they mean."""

    transformers: Sequence[TransformerFactory]
    buffer: float
    prefetch: int
    checkpoint_every: int
    grace: float
    max_scheduled: float
    scope: Namespace | None
    root_lifecycle: bool


OWN_OPTIONS = ("input", "config", *RunOptions.__annotations__)


def check_spelling(options: Mapping[str, Any]) -> None:
    """Refuse misspelt options of `open_run` itself: LangGraph accepts any name, and ignores it."""
    for option in options:
        meant = suggestion(option, OWN_OPTIONS, likeness=0.8)
        if meant:
            raise UnknownOption(option, f"it has no such option{meant}")


def check_transformers(transformers: Sequence[TransformerFactory]) -> None:
    """Refuse what is not a list of transformer classes or factories."""
    if not isinstance(transformers, (list, tuple)) and (
        isinstance(transformers, (type, StreamTransformer, str)) or not isinstance(transformers, Iterable)
    ):
        name = getattr(transformers, "__name__", type(transformers).__name__)
        raise NotATransformer(f"transformers={name}", f"is not a list; write transformers=[{name}]")
    for each in transformers:
        if isinstance(each, type) and not issubclass(each, StreamTransformer):
            theirs = could_be(each, "langgraph.stream", "StreamTransformer")
            raise NotATransformer(
                each.__name__,
                "derives from another package's StreamTransformer; import it from anyiostream instead"
                if theirs
                else "does not derive from StreamTransformer",
            )


def check_bounds(*, buffer: float, prefetch: int, checkpoint_every: int, grace: float, max_scheduled: float) -> None:
    """Raise `InvalidBound` for a bound that is not one."""
    if not _is_count(buffer, 1) and buffer != math.inf:
        raise InvalidBound("buffer", buffer, "a positive int, in items, or math.inf")
    if not _is_count(prefetch, 0):
        raise InvalidBound("prefetch", prefetch, "an int of at least 0, in parts")
    if not _is_count(checkpoint_every, 1):
        raise InvalidBound("checkpoint_every", checkpoint_every, "an int of at least 1, in items")
    # Not a number is not above 0 either.
    if not isinstance(grace, (int, float)) or isinstance(grace, bool) or not grace > 0:
        raise InvalidBound("grace", grace, "a positive number, in s, or math.inf")
    if not _is_count(max_scheduled, 1) and max_scheduled != math.inf:
        raise InvalidBound("max_scheduled", max_scheduled, "a positive int, in coroutines, or math.inf")


def _is_count(given: object, least: int) -> bool:
    if type(given) is int:
        return given >= least
    return isinstance(given, int) and given >= least and not isinstance(given, bool)
