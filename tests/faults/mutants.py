"""Proof that the battery can fail: it must go red when the package is broken on purpose.

`python -m tests.faults.mutants [NAME ...]` copies the package, breaks the copy, and runs a part of the battery on it.
The checkout itself is never changed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final

import attrs

import anyiostream

from .mutation import AnchorGone, Edit, body, insert, swap

__all__ = ["MUTANTS", "Mutant"]

RUNS: Final = 3_000
"""Runs in which a mutant must show itself."""

SECONDS: Final = 300.0
"""Seconds that it is given, for machines that are busy with something else: most need ten."""


@attrs.frozen
class Mutant:
    """One way to break the package.

    Attributes:
        name: What it is called.
        edits: The changes.
        faults: Words in the names of the faults that are drawn; all faults if there are none.
    """

    name: str
    edits: tuple[Edit, ...]
    faults: tuple[str, ...] = ()


MUTANTS: Final[Sequence[Mutant]] = (
    Mutant(
        "items are handed to parked readers",
        (
            swap(
                "Driver.wait_for",
                "if self._deadlocks is not None:\n",
                "if getattr(target, 'depth', 0) and target.take() and self._deadlocks is not None:\n",
            ),
        ),
        ("cancel-reader",),
    ),
    Mutant("no shield on clean-up", (body("Shutdown._outlast", "await self._driver.wait(latch)"),), ("cancel-outer",)),
    Mutant(
        "the terminal state is published before the hooks run",
        (insert("Pump._finish", "self._publish(outcome)"),),
        ("cancel-output", "raises", "abort"),
    ),
    Mutant(
        "a leaving reader keeps its subscription",
        (body("AsyncCursor.leave", "self._ended = True"), body("AsyncCursor.__del__", "pass")),
        ("reader-leaves",),
    ),
    Mutant(
        "a cancellation is swallowed",
        (swap("Shutdown._outlast", "cancelled = exc", "pass"),),
        ("cancel-outer-by-task", "cancel-aborter-by-task"),
    ),
    Mutant(
        "a cancelled reader keeps the pump",
        (swap("Driver.wait_for", "self.pass_on()\n                raise", "raise"),),
        ("cancel-reader", "cancel-output", "reader-leaves"),
    ),
    Mutant(
        "the source is not closed",
        (body("IteratorRoutine.close", "return None"),),
        ("source", "process"),
    ),
    Mutant(
        "readers never checkpoint",
        (swap("Driver.advance", "if pump.parts >= pause_at:", "self.pause_at = pause_at = 10**9\n        if False:"),),
        ("cancel-output", "part-", "nested"),
    ),
    Mutant(
        "the bound is not enforced",
        (
            swap("Queue._put_slowly", "self.ready < self.maxlen", "True"),
            swap("Queue._send_first", "(self.maxlen)", "(10**6)"),
        ),
        ("reader-slow", "cancel-reader"),
    ),
    Mutant(
        "scheduled work is not drained", (body("ScheduledWork.drain", "return"),), ("scheduled", "cancel-reader"),
    ),
    Mutant(
        "each reader gets an error of its own",
        (body("Outcome.fresh", "return type(self.error)(*self.error.args)"),),
        ("source-raises", "process-raises"),
    ),
    Mutant(
        "tracebacks grow",
        (body("Outcome.fresh", "return self.error"),),
        ("source-raises-InjectedError", "process-raises"),
    ),
    Mutant(
        "the hook task outlives an abort",
        (swap("HookTask._main", "if self._stopped:", "if False:"),),
        ("abort-in-turn", "abort-in-abort", "cancel-aborter"),
    ),
    Mutant(
        "a failing hook is ignored",
        (swap("HookTask._await", "pump.job_failed(", "pump.job_done() or ("),),
        ("aprocess", "process"),
    ),
    Mutant(
        "an ended subgraph is not forgotten",
        (insert("SubgraphTracker._forget", "return"),),
        ("reader-slow", "cancel-reader"),
    ),
    Mutant(
        "room does not wake the pump", (body("Driver._room_again", "pass"),), ("reader-leaves", "reader-slow"),
    ),
    Mutant(
        "a deadlock is not looked for", (body("Deadlocks.check", "pass"),), ("reader-in-turn",),
    ),
    Mutant(
        "output() does not wait for the end",
        (swap("AsyncGraphRunStream._complete", "await run.until(run.pump.terminal)", "await run.checkpoint()"),),
        ("cancel-output", "reader-slow"),
    ),
    Mutant(
        "terminal hooks are called again after a cut",
        (body("Registration.end", "return hook(*args)"),),
        ("abort", "cancel-outer", "afinalize"),
    ),
    Mutant(
        "an event that waits is dispatched without waiting for room",
        (swap("Pump.advance", "if (self._special or self.producer.pending) and", "if self._special and"),),
        ("reader-slow", "reader-leaves"),
    ),
)  # fmt: skip


def kill(mutant: Mutant) -> tuple[str, str]:
    """Break a copy, and run the battery on it: `killed`, `survived` or `not applied`, and by what."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        root = Path(folder)
        ignore = shutil.ignore_patterns("__pycache__")
        package = root / "anyiostream"
        shutil.copytree(Path(anyiostream.__file__).parent, package, ignore=ignore)
        for name in ("faults", "sources"):  # the latter has the agents' models
            shutil.copytree(Path(__file__).parents[1] / name, root / "tests" / name, ignore=ignore)
        try:
            for edit in mutant.edits:
                edit.apply(package)
        except AnchorGone as gone:
            return "not applied", str(gone)
        command = [sys.executable, "-m", "tests.faults", "--until-violation", "--jobs", "1"]
        command += ["--runs", str(RUNS), "--seconds", str(SECONDS)]
        for word in mutant.faults:
            command += ["--fault", word]
        done = subprocess.run(
            command,
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            timeout=4 * SECONDS,
            check=False,
        )
    said = re.findall(r"^(I\d+) ", done.stdout, re.MULTILINE)
    if done.returncode == 0:
        return "survived", re.sub(r"\s+", " ", next(iter(done.stdout.splitlines()), ""))
    if not said:
        return "not applied", done.stderr.strip().rpartition("\n")[2] or done.stdout.strip()[:200]
    return "killed", ", ".join(sorted(set(said)))


def main() -> int:
    """Try all mutants, or those that are named; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="words in the names of the mutants; all without")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    mutants = [each for each in MUTANTS if not chosen.names or any(name in each.name for name in chosen.names)]
    whole = Mutant("the package as it is", (), tuple({fault for each in mutants for fault in each.faults}))
    sound, killed = False, 0
    with ThreadPoolExecutor(chosen.jobs) as pool:
        pending = {pool.submit(kill, each): each for each in (whole, *mutants)}
        for done in as_completed(pending):
            mutant, (verdict, by) = pending[done], done.result()
            if mutant is whole:
                sound = verdict == "survived"
                verdict = "as it should" if sound else "BROKEN"
            killed += verdict == "killed"
            print(f"{verdict if verdict != 'survived' else 'SURVIVED':14}{mutant.name}: {by}", flush=True)
    print(f"mutants killed      {killed} of {len(mutants)}")
    return 0 if sound and killed == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
