"""Ctrl-C, told from a `KeyboardInterrupt` that a foreign object raises.

The interpreter raises it wherever its main thread happens to be, which may be a method of that object. Its origin tells
one from the other: a `raise`, or the handler of a signal.

There need not be a `raise`: the future of a process that was interrupted holds an error, which appears at an `await`,
and functions in C raise errors at a call. Nor does the interpreter raise one wherever it happens to be unless Python's
own handler is in force; event loops and servers have theirs.
"""

from __future__ import annotations

import opcode
import signal
import threading
from typing import Final

from anyiostream.foreign import leaves

__all__ = ["is_interrupt"]

HANDLERS: Final = frozenset({"trio._core._ki", "asyncio.runners", "signal"})
"""Modules that raise `KeyboardInterrupt` in answer to the signal."""

RAISES: Final = frozenset({"RAISE_VARARGS", "RERAISE"})


def is_interrupt(error: BaseException) -> bool:
    """Whether the user has pressed Ctrl-C, even if it is in a group of errors. Called where it has been caught."""
    return any(isinstance(each, KeyboardInterrupt) and _is_from_signal(each) for each in leaves(error))


def _is_from_signal(error: BaseException) -> bool:
    place = error.__traceback__
    if place is None or threading.current_thread() is not threading.main_thread():
        return False
    while place.tb_next is not None:
        place = place.tb_next
    if place.tb_frame.f_globals.get("__name__") in HANDLERS:
        return True
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return False
    return opcode.opname[place.tb_frame.f_code.co_code[place.tb_lasti]] not in RAISES
