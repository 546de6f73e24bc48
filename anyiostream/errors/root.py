"""The roots of the tree of exceptions."""

from __future__ import annotations

__all__ = [
    "AnyioStreamError",
    "ProgrammingError",
]


class AnyioStreamError(Exception):
    """The root of the tree: `except AnyioStreamError` catches whatever the library itself raises.

    ```python
    try:
        open_run(graph, "Bergen", buffer=0)
    except AnyioStreamError as exc:
        print(exc)  # buffer must be a positive int, ...
    ```
    """


class ProgrammingError(AnyioStreamError):
    """The program uses the library incorrectly: a wrong name, type, lane, or order of calls.

    Its message says what to write instead. There is nothing to handle at run time, so only tests, and tools that run
    other people's code, need to catch it.

    ```python
    from anyiostream.errors import ProgrammingError

    try:
        open_run(graph, "Bergen", bufer=10)
    except ProgrammingError as exc:
        print(exc)  # ... did you mean 'buffer'?
    ```
    """
