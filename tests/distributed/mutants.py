"""Proof that the faults can fail: each finds what it is there for. `python -m tests.distributed.mutants [NAME ...]`.

Copies the package, breaks the copy, and lets one fault happen to it, on one event loop. The checkout is never changed.
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
from pathlib import Path
from typing import Final, Protocol, final

import attrs

import anyiostream

from ..faults.mutation import AnchorGone, body, swap

__all__ = ["MUTANTS", "Mutant"]

ROOT: Final = Path(__file__).parents[2]

TESTS: Final = ("distributed", "faults", "remote", "ports.py", "waiting.py", "serving.py", "npm.py")
"""What the faults need of the tests."""

SECONDS: Final = 600.0


class Change(Protocol):
    """A change of a copy of the package."""

    def apply(self, package: Path) -> None:
        """Make it. Raises `AnchorGone`."""
        ...


@final
@attrs.frozen
class InScript:
    """A change of what the store runs.

    Attributes:
        old: Text that must be there exactly once.
        new: What stands there instead.
    """

    old: str
    new: str

    def apply(self, package: Path) -> None:
        """Make it."""
        path = package / "remote" / "store" / "redis" / "scripts.lua"
        text = path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise AnchorGone(f"{path.name} has {self.old!r} {text.count(self.old)} times; once is expected")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


@final
@attrs.frozen
class Mutant:
    """One way to break the package.

    Attributes:
        name: What it is called.
        fault: The fault that finds it.
        times: How often that happens.
        changes: What is changed.
    """

    name: str
    fault: str
    times: int
    changes: tuple[Change, ...]


MUTANTS: Final[Sequence[Mutant]] = (
    Mutant(
        "a run that begins again does not say so",
        "servers are killed",
        8,
        (swap("input_of", "if thread.fold.running:", "if False:"),),
    ),
    Mutant(
        "places go on where the store's memory ends",
        "the store is killed, and forgets",
        8,
        (InScript("math.max(math.max(count(thread, 'last'), used) + 1, clock)", "count(thread, 'last') + 1"),),
    ),
    Mutant(
        "a loss is not said",
        "the store fails over to a replica",
        8,
        (body("check_gap", "pass"),),
    ),
    Mutant(
        "an append whose reply was lost is repeated blindly",
        "the network is disturbed",
        5,
        (
            InScript("if after ~= last then\n    if #events", "if false then\n    if #events"),
            InScript(
                "for i = 1, #events, 3 do\n    call(",
                "for i = 1, #events, 3 do\n    events[i] = text(math.max(tonumber(events[i]), tonumber(last) + 1))\n"
                "    call(",
            ),
        ),
    ),
    Mutant(
        "epochs are not checked",
        "servers write after their lease",
        50,
        (InScript("if head[1] ~= epoch then", "if false then"),),
    ),
    Mutant(
        "a lease is renewed by the event loop",
        "the event loop is blocked",
        1,
        (swap("Renewal._keep", "before - self._beaten > self._stuck", "before - self._beaten > self._lease / 2"),),
    ),
    Mutant(
        "a call that the event loop could not wait for has failed",
        "the event loop is blocked",
        1,
        (swap("Script.call", "if exc.blocked:", "if False:"),),
    ),
    Mutant(
        "a lease lasts by the server's clock",
        "clocks are wrong",
        6,
        (
            swap(
                "Script.call",
                'now = "" if self._clock is None else self._clock()',
                "now = time.time_ns() // 1000 if self._clock is None else self._clock()",
            ),
        ),
    ),
    Mutant(
        "the order of checkpoints is left to the clocks",
        "clocks are wrong",
        10,
        (body("advance_ids", "pass"),),
    ),
    Mutant(
        "an answer is taken again",
        "a question is answered twice",
        20,
        (InScript("if waiting or not pending[each] then", "if not pending[each] then"),),
    ),
    Mutant(
        "what a full store refuses counts as written",
        "the store is full",
        10,
        (
            swap(
                "RedisStore.append", "self._unlead(key)\n            raise\n", "self._unlead(key)\n            return\n"
            ),
        ),
    ),
    Mutant(
        "a run that was handed over begins again",
        "servers are replaced",
        6,
        (swap("input_of", "if job.handed_over:", "if False:"),),
    ),
    Mutant(
        "a cancellation does not wait for a call",
        "calls are cancelled",
        1,
        (swap("Script.call", "with anyio.CancelScope(shield=True):", "with anyio.CancelScope():"),),
    ),
    Mutant(
        "a connection ends with its user's scope",
        "calls are cancelled",
        1,
        (swap("Lane.__init__", "anyio.CancelScope(shield=True)", "anyio.CancelScope()"),),
    ),
)


def kill(mutant: Mutant, loop: str) -> tuple[str, str]:
    """Break a copy, and let the fault happen: `killed`, `survived` or `not applied`, and by what."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        root = Path(folder)
        ignore = shutil.ignore_patterns("__pycache__", "node_modules")
        package = root / "anyiostream"
        shutil.copytree(Path(anyiostream.__file__).parent, package, ignore=ignore)
        for name in TESTS:
            copy = shutil.copytree if (ROOT / "tests" / name).is_dir() else shutil.copy
            (root / "tests").mkdir(exist_ok=True)
            copy(
                ROOT / "tests" / name, root / "tests" / name, **({"ignore": ignore} if copy is shutil.copytree else {})
            )
        shutil.copy(ROOT / "pyproject.toml", root)
        try:
            for change in mutant.changes:
                change.apply(package)
        except AnchorGone as gone:
            return "not applied", str(gone)
        command = [sys.executable, "-m", "tests.distributed", "--only", mutant.fault, "--loop", loop]
        command += ["--times", str(mutant.times)]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        try:
            done = subprocess.run(
                command, cwd=root, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return "killed", "nothing goes on"
    broken = re.findall(r"BROKEN: (.*)", done.stdout)
    if done.returncode == 0:
        return "survived", ""
    return "killed", (broken or [done.stderr.strip().rpartition("\n")[2]])[0][:100]


def main() -> int:
    """Try all mutants, or those that are named; 1 if one survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.distributed.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="words in the names of the mutants; all without")
    parser.add_argument("--loop", choices=("asyncio", "trio"), default="asyncio")
    chosen = parser.parse_args()
    mutants = [each for each in MUTANTS if not chosen.names or any(name in each.name for name in chosen.names)]
    killed = 0
    for mutant in mutants:
        verdict, by = kill(mutant, chosen.loop)
        killed += verdict == "killed"
        print(f"{verdict if verdict != 'survived' else 'SURVIVED':14}{mutant.name} ({mutant.fault}): {by}", flush=True)
    print(f"mutants killed      {killed} of {len(mutants)}")
    return killed != len(mutants)


if __name__ == "__main__":
    sys.exit(main())
