"""The official readers of the protocols, on Node: what they make of a response, or why they refuse it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

__all__ = ["FOLDER", "READERS", "Readers"]

FOLDER = Path(__file__).parent / "javascript"

READERS = {"ai-6": "ai-sdk", "ai-7": "ai-sdk", "ag-ui": "ag-ui", "openai": "openai"}
"""Name of a reader -> the protocol that it reads."""


class Readers:
    """All of them, in one process: each takes a second to start."""

    def __init__(self) -> None:
        command = ["node", "--no-warnings", "validate.mjs"]
        self._process = subprocess.Popen(
            command, cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def read(self, responses: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """What they make of responses, in order: `protocol` is a reader's name, `body` the response."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with ThreadPoolExecutor(1) as writer:  # with one thread, both processes would wait for each other to read
            writing = writer.submit(_write, self._process.stdin, responses)
            found = [self._found(index, self._process.stdout) for index in range(len(responses))]
            writing.result()
        return found

    def _found(self, index: int, stdout: IO[str]) -> dict[str, Any]:
        while line := stdout.readline():
            if line.startswith('{"id"'):  # others are what a reader has to say to its console
                found: dict[str, Any] = json.loads(line)
                assert found["id"] == index
                return found
        raise AssertionError("the readers have gone")

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def _write(stdin: IO[str], responses: Iterable[dict[str, Any]]) -> None:
    for index, response in enumerate(responses):
        stdin.write(json.dumps({"id": index, **response}) + "\n")
    stdin.flush()
