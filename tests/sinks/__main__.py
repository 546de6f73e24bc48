"""Many random logs, for the official readers: `python -m tests.sinks --logs 100000 --seed 1`.

Each log is read whole, and from any place to any place. What is made of a whole one is compared with this package's
projections, and every twentieth turn is resumed at each of its places.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from itertools import count
from typing import Any, final

import attrs

from anyiostream.wire import Draft

from ..npm import installed
from .folds import differences, events_of, projected, read_by, read_ourselves
from .logs import LogMaker, hostile, placed
from .readers import FOLDER, READERS, Readers
from .resuming import answered, kept, others, resumed
from .test_official import part_of, response

BATCH = 20
"""Seeds whose responses are read together, while the next ones are made."""

RESUMED = 20
"""Of so many turns one is resumed at all of its places."""

REPORT = 2000
"""Logs after which it is said how many have been read."""

Problem = str


@final
@attrs.define
class Tally:
    """How much has been done."""

    logs: int = 0
    read: int = 0
    compared: int = 0
    resumed: int = 0

    def __str__(self) -> str:
        return (
            f"{self.logs} logs, {self.read} responses read; {self.compared} logs compared with projections, "
            f"{self.resumed} resumed at every place"
        )


def check(readers: Readers, seeds: range, tally: Tally) -> Iterator[Problem]:
    """What is wrong with the responses that the logs of some seeds make."""
    parts: list[tuple[int, bool, list[Draft]]] = []
    for seed in seeds:
        random = seed % 3 == 0
        drafts = hostile(seed) if random else LogMaker(seed).make()
        parts += [(seed, not random, drafts), (seed, False, part_of(drafts, seed))]
    asked = [(*part, reader) for part in parts for reader in READERS]
    found = readers.read([response(reader, placed(drafts)) for _, _, drafts, reader in asked])
    for (seed, is_turn, drafts, reader), each in zip(asked, found, strict=True):
        if not each["ok"]:
            yield f"seed {seed}, {reader} refuses: {each['error']}"
        elif is_turn and reader != "openai":
            wrong = differences(reader, projected(events_of(drafts)), read_by(reader, each["folded"]))
            if wrong:
                yield f"seed {seed}, {reader} has something else: {wrong}"
    tally.logs += len(parts)
    tally.read += len(asked)
    for seed, is_turn, drafts in parts:
        if is_turn:
            tally.compared += 1
            if projected(read_ourselves(answered("langgraph", drafts))) != projected(events_of(drafts)):
                yield f"seed {seed}, our own client has something else"
            if seed % RESUMED == 1:
                tally.resumed += 1
                yield from check_resuming(readers, seed, drafts, tally)


def check_resuming(readers: Readers, seed: int, drafts: list[Draft], tally: Tally) -> Iterator[Problem]:
    """What is wrong with what is made of a turn that is resumed."""
    folds: dict[str, list[Any]] = {}
    for protocol, each in others(drafts):
        folds.setdefault(protocol, []).append(each)
    for reader, protocol in READERS.items():
        found = readers.read([{"protocol": reader, "body": each.decode()} for each in resumed(protocol, drafts)])
        folds[reader] = [json.dumps(kept(each), sort_keys=True) for each in found]
        tally.read += len(found)
    for reader, made in folds.items():
        if made != made[:1] * len(made):
            yield f"seed {seed}, {reader} has something else after it has resumed"


def main() -> int:
    """Read them; the first problem ends it."""
    parser = argparse.ArgumentParser(description="Random logs for the official readers.")
    parser.add_argument("--logs", type=int, default=1000, help="how many; each is read by all readers")
    parser.add_argument("--seed", type=int, default=1, help="of the first one")
    arguments = parser.parse_args()
    installed(FOLDER)
    readers, tally, began = Readers(), Tally(), time.monotonic()
    for first in count(arguments.seed, BATCH):
        before = tally.logs // REPORT
        for problem in check(readers, range(first, first + BATCH), tally):
            print(problem)
            return 1
        if tally.logs // REPORT != before:
            print(f"{tally}; {time.monotonic() - began:.0f} s", flush=True)
        if tally.logs >= arguments.logs:
            break
    readers.close()
    print(f"{tally}; nothing refused, nothing different; seeds {arguments.seed} to {first + BATCH - 1}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
