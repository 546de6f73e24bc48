"""Graphs, their options and their parts."""

from __future__ import annotations

from anyiostream.errors.root import AnyioStreamError, ProgrammingError

__all__ = [
    "InvalidBound",
    "MalformedPart",
    "MissingExtra",
    "NotAGraph",
    "UnknownOption",
]


class NotAGraph(ProgrammingError, TypeError):
    """`open_run` was given something that it cannot run."""

    def __init__(self, graph: object, lane: str, problem: str = "") -> None:
        super().__init__(
            f"cannot open a run of {type(graph).__name__} on the {lane} lane"
            + (f": {problem}" if problem else "")
            + ". A graph is a compiled LangGraph graph, an `async def graph(input, writer)`, a generator function, or "
            + ("an async iterable of parts." if lane == "async" else "an iterable of parts.")
        )


class MissingExtra(AnyioStreamError, ImportError):
    """A feature needs a package that an extra of this distribution installs."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the `{extra}` extra: run `python -m pip install 'anyiostream-runs[{extra}]'`."
        )


class UnknownOption(ProgrammingError, TypeError):
    """`open_run` was given an option that this graph does not take."""

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"open_run() does not take {option!r} here: {reason}")


class InvalidBound(ProgrammingError, ValueError):
    """A bound, in items, parts or branches, is not a number or is out of range."""

    def __init__(self, name: str, value: object, wanted: str) -> None:
        super().__init__(f"{name} must be {wanted}, got {value!r}. Pass such a value, or leave it out for the default.")


class MalformedPart(AnyioStreamError, TypeError):
    """The graph produced something that is not a stream part.

    ```python
    with open_run([{"type": "values"}]) as run:
        try:
            print(run.output)
        except MalformedPart as exc:
            assert exc.part == {"type": "values"}
    ```

    Attributes:
        part: The object itself.
    """

    def __init__(self, part: object, problem: str) -> None:
        shown = repr(part)
        super().__init__(
            f"malformed stream part: {problem}; got {shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '...'}. "
            "A part is {'type': str, 'ns': tuple of str, 'data': object}; the functions in anyiostream.parts build one."
        )
        self.part = part


_SHOWN = 200
"""Characters of a malformed part that its exception shows: a part may be megabytes."""
