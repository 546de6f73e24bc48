"""Why a mux ends."""

from __future__ import annotations

from typing import Final, final

import attrs

__all__ = ["GOOD_ENDING", "Ending"]


@final
@attrs.frozen
class Ending:
    """Why a mux ends.

    Attributes:
        error: What the `fail` hooks get; `None` for a good end, which calls the `finalize` hooks.
        interrupted: Whether the graph itself said that it was interrupted, so that what is open in it was, too.
        quietly: Whether readers' iterations just end, although there is an error: the run was aborted.
    """

    error: BaseException | None = None
    quietly: bool = False
    interrupted: bool = False


GOOD_ENDING: Final = Ending()
"""That of a graph that has come to its end."""
