"""Many random logs, for the official readers: `python -m tests.sinks --logs 100000 --seed 1`."""

from __future__ import annotations

import argparse
import sys
from itertools import count

from ..npm import installed
from .logs import LogMaker, hostile, placed
from .readers import FOLDER, READERS, Readers
from .test_official import part_of, response


def main() -> int:
    """Read them; the first that is refused ends it."""
    parser = argparse.ArgumentParser(description="Random logs for the official readers.")
    parser.add_argument("--logs", type=int, default=1000, help="how many, over all readers")
    parser.add_argument("--seed", type=int, default=1, help="of the first one")
    arguments = parser.parse_args()
    installed(FOLDER)
    readers, done = Readers(), 0
    for seed in count(arguments.seed):
        drafts = hostile(seed) if seed % 3 == 0 else LogMaker(seed).make()
        for part in (drafts, part_of(drafts, seed)):
            responses = [response(reader, placed(part)) for reader in READERS]
            for sent, found in zip(responses, readers.read(responses), strict=True):
                if not found["ok"]:
                    print(f"seed {seed}, {sent['protocol']}: {found['error']}\n{sent['body']}")
                    return 1
            done += len(responses)
        if done >= arguments.logs:
            break
    readers.close()
    print(f"{done} logs read, none refused; seeds {arguments.seed} to {seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
