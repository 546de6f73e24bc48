"""`FailedSubgraphs`: connects the failure of a run with that of the subgraph that caused it."""

from __future__ import annotations

import weakref
from collections import deque
from typing import Final, final

from anyiostream.errors import SubgraphFailed
from anyiostream.foreign import describes

__all__ = ["FailedSubgraphs"]

KEPT: Final = 64
"""Failed subgraphs, the latest ones, whose cause is looked for when the run fails."""


@final
class FailedSubgraphs:
    """Failures of subgraphs. Their parts have an error's text only; the object is known if the run fails with it."""

    _errors: deque[weakref.ref[SubgraphFailed]] | None = None  # of the class: most runs have none

    def add(self, error: SubgraphFailed) -> None:
        """A subgraph has failed."""
        if self._errors is None:
            self._errors = deque(maxlen=KEPT)
        self._errors.append(weakref.ref(error))

    def explain(self, failure: BaseException) -> None:
        """The run has failed: `failure` is the cause of those whose text describes it."""
        for reference in self._errors or ():
            error = reference()
            if error is not None and error.__cause__ is None and describes(str(error), failure):
                error.__cause__ = failure
        self._errors = None
