"""`Unawaited`: what the async lane's methods return. It reports a forgotten `await`.

Rules:

- It is a coroutine that has not begun: it may be awaited, started as a task, or given to whatever takes a coroutine.
- Using it as if it were the result raises `NotAwaited`. Python's own coroutine is true, so that a forgotten `await`
  would silently take the wrong branch of an `if`.
- One that is dropped unawaited warns, at the line that made it. Python's own warning names the line at which the
  garbage collector happened to run.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, final

from anyiostream.errors import NotAwaited, NotAwaitedWarning

__all__ = ["Unawaited"]

T = TypeVar("T")


@final
class Unawaited(Coroutine[Any, Any, T]):
    """A call that has to be awaited."""

    __slots__ = ("__weakref__", "_begin", "_caller", "_running", "_what")

    def __init__(self, what: str, begin: Callable[[], Coroutine[Any, Any, T]], *, depth: int = 2) -> None:
        """Make it.

        Args:
            what: The call, for messages: `"run.output()"`.
            begin: Makes the coroutine, when it is wanted.
            depth: How many calls away the line is that a warning should point at.
        """
        self._what = what
        self._begin: Callable[[], Coroutine[Any, Any, T]] | None = begin
        self._running: Coroutine[Any, Any, T] | None = None
        caller = sys._getframe(depth)  # noqa: SLF001 -- for a warning's line, as `warnings` does it
        self._caller = (caller.f_code.co_filename, caller.f_lineno)

    def __await__(self) -> Generator[Any, Any, T]:
        """Make the call."""
        return self._coroutine().__await__()

    def send(self, value: Any) -> Any:
        """As a coroutine's."""
        return self._coroutine().send(value)

    def throw(  # the three arguments that coroutines used to take are still allowed
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> Any:
        """As a coroutine's."""
        if val is None and tb is None:
            return self._coroutine().throw(typ)
        return self._coroutine().throw(typ, val, tb)  # type: ignore[arg-type]

    def close(self) -> None:
        """Do not make the call."""
        self._begin = None
        if self._running is not None:
            self._running.close()

    def __repr__(self) -> str:
        return f"<{self._what}, {'not awaited yet' if self._begin is not None else 'awaited'}>"

    def __del__(self) -> None:
        # Not of one whose making was interrupted.
        if getattr(self, "_begin", None) is not None and getattr(self, "_caller", None) is not None:
            warnings.warn_explicit(NotAwaitedWarning(self._what), None, *self._caller)

    def _coroutine(self) -> Coroutine[Any, Any, T]:
        if self._running is None:
            begin, self._begin = self._begin, None
            if begin is None:
                raise RuntimeError(f"{self._what} was closed before it was awaited")
            self._running = begin()
        return self._running

    if not TYPE_CHECKING:  # for type checkers it is a coroutine, for which all of this is an error anyway

        def _refuse(self, *_: object) -> NoReturn:
            self._begin = None  # this says it all
            raise NotAwaited(self._what)

        __bool__ = __len__ = __iter__ = __contains__ = __getitem__ = __call__ = __int__ = __float__ = _refuse
        __lt__ = __le__ = __gt__ = __ge__ = __add__ = __or__ = _refuse
        __hash__ = object.__hash__

        def __eq__(self, other: object) -> bool:
            return True if other is self else self._refuse()

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith(("_", "cr_", "gi_", "ag_")):
                # Event loops and debuggers ask which kind of coroutine it is.
                raise AttributeError(name)
            self._refuse()
