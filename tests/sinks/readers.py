"""The official readers of the protocols, on Node: what they make of a response, or why they refuse it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

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

    def read(self, responses: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """What they make of responses, in order: `protocol` is a reader's name, `body` the response."""
        return [self._read({"id": index, **each}) for index, each in enumerate(responses)]

    def _read(self, given: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(given) + "\n")
        self._process.stdin.flush()
        while line := self._process.stdout.readline():
            if line.startswith('{"id"'):  # others are what a reader has to say to its console
                found: dict[str, Any] = json.loads(line)
                assert found["id"] == given["id"]
                return found
        raise AssertionError("the readers have gone")

    def close(self) -> None:
        """End the process."""
        self._process.communicate()
