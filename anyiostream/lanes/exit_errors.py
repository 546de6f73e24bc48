"""What to raise when a run's block is left."""

from __future__ import annotations

import logging

from anyiostream.forms import name_of, text_of
from anyiostream.logged import loggable

__all__ = ["close_block"]

logger = logging.getLogger("anyiostream")


def close_block(errors: list[BaseException], body: BaseException | None) -> BaseException | None:
    """What to raise when a run's block is left, given the errors that no reader has received.

    If the body raised, they are logged and become notes of its exception; otherwise one leaves as itself, and several
    as a group.
    """
    if body is not None:
        for error in errors:
            if error is not body:
                shown = loggable(error)
                logger.error("while leaving the run's block, an error that no reader received", exc_info=shown)
                text = f"{name_of(error)}: {text_of(error)}" if shown is None else repr(error)
                body.add_note(f"while leaving the run's block, unreceived: {text}")
        return None
    if not errors:
        return None
    if len(errors) == 1:
        return errors[0]
    if all(isinstance(error, Exception) for error in errors):
        return ExceptionGroup(
            "errors of a run that no reader received", [e for e in errors if isinstance(e, Exception)]
        )
    return BaseExceptionGroup("errors of a run that no reader received", errors)
