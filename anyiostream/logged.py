"""What a log is told of an exception: all of it, and nothing that a foreign text could make of it.

A text may come from anywhere: a client's input, a model's answer. Written as it is, it begins lines of its own in the
log, or moves a terminal's cursor. Handlers write exceptions as Python does, which runs methods of theirs. So they are
given stand-ins: exceptions of the same names and with the same tracebacks, whose texts and notes have one line each.
"""

from __future__ import annotations

import traceback
from typing import Any, Final

from anyiostream.forms import Scales, attempt, name_of, text_of

__all__ = ["loggable", "visible"]

WIDE: Final = 1000
"""Errors in a group, causes and arguments included, that are written to a log."""

PLAIN: Final = frozenset({str, int, float, bool, type(None)})

ASKED: Final = frozenset({
    "__str__", "__notes__", "__cause__", "__context__", "__suppress_context__", "__traceback__", "exceptions",
    "__getattribute__", "__getattr__",
})  # fmt: skip
"""What Python asks an exception for when it writes it."""

WITH_MORE: Final = (SyntaxError, NameError, AttributeError, ImportError)
"""To the texts of these Python adds: lines of a source, names that might have been meant."""

HEAP: Final = 1 << 9
"""The flag of a class that is not built in."""


def visible(text: str) -> str:
    """`text` on one line: whatever would begin a new line, or move a terminal's cursor, is escaped."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


def loggable(error: BaseException) -> BaseException | None:
    """`error` for a log, with its traceback: itself, or a stand-in if it may write more than its lines.

    `None` if Python would not get to the end of writing it out.
    """
    if Scales(WIDE).weigh(error) > WIDE:
        return None
    return error if all(map(_is_plain, _all_of(error))) else _stand_in(error, {})


def _all_of(error: BaseException) -> list[BaseException]:
    """The error, and those that are written with it, each once."""
    found, pending = {id(error): error}, [error]
    while pending:
        each = pending.pop()
        for other in (_own(each, "__cause__"), _own(each, "__context__"), *_inside(each)):
            if other is not None and id(other) not in found:
                found[id(other)] = other
                pending.append(other)
    return list(found.values())


def _own(error: BaseException, name: str) -> Any:
    """What every exception has, whatever its class makes of it."""
    return vars(BaseException)[name].__get__(error)


def _inside(error: BaseException) -> tuple[BaseException, ...]:
    return vars(BaseExceptionGroup)["exceptions"].__get__(error) if isinstance(error, BaseExceptionGroup) else ()


def _notes(error: BaseException) -> list[Any]:
    notes = _own(error, "__dict__").get("__notes__")
    if notes is None:
        return []
    return list(notes) if type(notes) in {list, tuple} else [notes]


def _is_plain(error: BaseException) -> bool:
    """Whether Python writes its texts in one line each, and runs nothing of its class's for that."""
    kind = type(error)
    if type(kind) is not type or isinstance(error, WITH_MORE):
        return False
    if any(each.__flags__ & HEAP and not ASKED.isdisjoint(vars(each)) for each in kind.__mro__):
        return False
    if not isinstance(error, BaseExceptionGroup) and not all(type(each) in PLAIN for each in _own(error, "args")):
        return False
    texts = [kind.__module__, kind.__qualname__, text_of(error), *_notes(error)]
    return all(type(each) is str and each.isprintable() for each in texts)


def _stand_in(error: BaseException, made: dict[int, BaseException]) -> BaseException:
    """What is written in an error's place; `made` has those that there are, as errors may refer to each other."""
    if id(error) in made:
        return made[id(error)]
    text = visible(_text(error))
    named: dict[str, Any] = {"__module__": _named(error, "__module__"), "__str__": lambda _: text}
    named["__qualname__"] = _named(error, "__qualname__")
    name = visible(name_of(error))
    stand_in: BaseException = type(name, (BaseException,), named)(text)
    made[id(error)] = stand_in
    if inside := [_stand_in(each, made) for each in _inside(error)]:
        stand_in = made[id(error)] = type(name, (BaseExceptionGroup,), named)(text, inside)
    if notes := _notes(error):
        stand_in.__notes__ = [visible(str(attempt(lambda note=each: str(note)) or "")) for each in notes]  # type: ignore[misc]
    cause, context = _own(error, "__cause__"), _own(error, "__context__")
    stand_in.__cause__ = None if cause is None else _stand_in(cause, made)
    stand_in.__context__ = None if context is None else _stand_in(context, made)
    stand_in.__suppress_context__ = _own(error, "__suppress_context__")
    stand_in.__traceback__ = _own(error, "__traceback__")
    return stand_in


def _named(error: BaseException, attribute: str) -> str:
    """The name of an error's class, or of its module, whatever its metaclass says."""
    given = attempt(lambda: vars(type)[attribute].__get__(type(error)))
    return visible(given if type(given) is str else name_of(error))


def _text(error: BaseException) -> str:
    """An error's text, with the names that might have been meant."""
    text = text_of(error)
    if isinstance(error, WITH_MORE) and not isinstance(error, SyntaxError):
        trace = _own(error, "__traceback__")
        written = attempt(lambda: str(traceback.TracebackException(type(error), error, trace, limit=0)))
        return written if written is not None and written.startswith(text) else text
    return text
