"""`--record FILE`: the events of a run in a file, as servers send them, for `anyiostream view`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final, final
from uuid import uuid4

import attrs

from anyiostream import ProtocolEvent, RunStatistics
from anyiostream.cli.loading import UsageError
from anyiostream.cli.outcome import Outcome, Output
from anyiostream.cli.terminal.given import GIVEN
from anyiostream.wire import Draft, Entry, WireEncoder

__all__ = ["ADDED", "Recorder", "Recording"]

ADDED: Final = frozenset({"tasks", "updates", "checkpoints"})
"""Parts that a recording has, but that are shown only on request."""


@final
class Recording:
    """A file that takes the events of runs, one after the other. A context manager.

    Args:
        path: Where it is. What is there already is replaced.
    """

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._seq = 0

    def __enter__(self) -> Recording:
        """Begin the file.

        Raises:
            UsageError: It cannot be written.
        """
        try:
            self._file = self._path.open("wb")
        except OSError as exc:
            raise UsageError(f"--record: cannot write {self._path}: {exc.strerror}") from exc
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._file.close()

    def of(self, output: Output, shown: Collection[str]) -> Recorder:
        """What records one more run.

        Args:
            output: What shows it.
            shown: Those of `ADDED` that are shown as well.
        """
        return Recorder(output, self, shown)

    def write(self, draft: Draft) -> None:
        """Add an event."""
        self._seq += 1
        self._file.write(Entry.of(draft, self._seq, f"1-{self._seq}").body + b"\n")


@final
class Recorder:
    """Records a run, and shows it by another output.

    Args:
        output: What shows it.
        recording: Where it is recorded.
        shown: Those of `ADDED` that are shown as well.
    """

    def __init__(self, output: Output, recording: Recording, shown: Collection[str]) -> None:
        self._output = output
        self._recording = recording
        self._hidden = ADDED - set(shown)
        self._encoder = WireEncoder()
        self._run_id = str(uuid4())

    @property
    def backlog(self) -> bool:
        """As the other one's."""
        return self._output.backlog

    def event(self, event: ProtocolEvent) -> None:
        """Record an event, and show it if it would be shown without recording."""
        if event["method"] != GIVEN:  # recordings have these as tasks
            for draft in self._encoder.encode(event):
                self._record(draft)
        if event["method"] not in self._hidden:
            self._output.event(event)

    def statistics(self, statistics: RunStatistics) -> None:
        """Figures are shown, not recorded."""
        self._output.statistics(statistics)

    def flush(self) -> None:
        """As the other one."""
        self._output.flush()

    def result(self, outcome: Outcome) -> None:
        """Record how the run ended, if its events have not said so; it is shown by whoever shows the run."""
        if outcome.error is not None:
            for draft in self._encoder.fail(outcome.error):
                self._record(draft)

    def _record(self, draft: Draft) -> None:
        if draft.root_event is not None:
            draft = attrs.evolve(draft, data={**draft.data, "run_id": self._run_id})
        self._recording.write(draft)
