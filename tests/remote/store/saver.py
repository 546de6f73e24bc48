"""A checkpointer in a file, in as few lines as tests need."""

from __future__ import annotations

import sqlite3
import time
import weakref
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_metadata,
)

__all__ = ["FileSaver"]


class FileSaver(BaseCheckpointSaver[str]):
    """Checkpoints in an SQLite file, each written before the call returns."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        weakref.finalize(self, self._db.close)
        self._db.execute("PRAGMA synchronous = OFF")
        while not self._begun():
            time.sleep(0.01)

    def _begun(self) -> bool:
        """Whether the file is ready. Other servers may begin with it at once, and SQLite waits for no such change."""
        try:
            self._db.executescript(
                "PRAGMA journal_mode = WAL;"
                "CREATE TABLE IF NOT EXISTS checkpoints (thread, ns, id, parent, kind, body, meta,"
                " PRIMARY KEY (thread, ns, id));"
                "CREATE TABLE IF NOT EXISTS writes (thread, ns, id, task, idx, channel, kind, body,"
                " PRIMARY KEY (thread, ns, id, task, idx));"
            )
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc):
                raise
            return False
        return True

    def get_next_version(self, current: str | None, channel: None) -> str:
        return f"{int((current or '0').split('.')[0]) + 1:032}.0"

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        given = config["configurable"]
        thread, ns, wanted = given["thread_id"], given.get("checkpoint_ns", ""), given.get("checkpoint_id")
        row = self._db.execute(
            "SELECT id, parent, kind, body, meta FROM checkpoints WHERE thread = ? AND ns = ? AND (? IS NULL OR id = ?)"
            " ORDER BY id DESC LIMIT 1",
            (thread, ns, wanted, wanted),
        ).fetchone()
        return None if row is None else self._tuple(thread, ns, row)

    def _tuple(self, thread: str, ns: str, row: Any) -> CheckpointTuple:
        checkpoint_id, parent, kind, body, meta = row
        writes = self._db.execute(
            "SELECT task, channel, kind, body FROM writes WHERE thread = ? AND ns = ? AND id = ? ORDER BY task, idx",
            (thread, ns, checkpoint_id),
        ).fetchall()
        return CheckpointTuple(
            self._config(thread, ns, checkpoint_id),
            self.serde.loads_typed((kind, body)),
            self.serde.loads_typed(("msgpack", meta)),
            None if parent is None else self._config(thread, ns, parent),
            [(task, channel, self.serde.loads_typed((kind, body))) for task, channel, kind, body in writes],
        )

    def put(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, new_versions: Any
    ) -> RunnableConfig:
        given = config["configurable"]
        thread, ns, checkpoint_id = given["thread_id"], given["checkpoint_ns"], checkpoint["id"]
        kind, body = self.serde.dumps_typed(checkpoint)
        meta = self.serde.dumps_typed(get_checkpoint_metadata(config, metadata))[1]
        self._db.execute(
            "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?)",
            (thread, ns, checkpoint_id, given.get("checkpoint_id"), kind, body, meta),
        )
        return self._config(thread, ns, checkpoint_id)

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        given = config["configurable"]
        place = given["thread_id"], given["checkpoint_ns"], given["checkpoint_id"], task_id
        rows = [
            (*place, WRITES_IDX_MAP.get(channel, n), channel, *self.serde.dumps_typed(value))
            for n, (channel, value) in enumerate(writes)
        ]
        # In one statement: of a task that has half of its writes when its process dies, LangGraph believes that it is
        # done, and does not go where it has not yet said to go.
        if rows:
            values = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * len(rows))
            self._db.execute(f"INSERT OR REPLACE INTO writes VALUES {values}", [each for row in rows for each in row])

    def list(self, config: Any, *, before: Any = None, limit: int | None = None, **_: Any) -> Iterator[CheckpointTuple]:
        thread, ns = config["configurable"]["thread_id"], config["configurable"].get("checkpoint_ns", "")
        below = None if before is None else before["configurable"]["checkpoint_id"]
        rows = self._db.execute(
            "SELECT id, parent, kind, body, meta FROM checkpoints WHERE thread = ? AND ns = ? AND (? IS NULL OR id < ?)"
            " ORDER BY id DESC LIMIT ?",
            (thread, ns, below, below, -1 if limit is None else limit),
        ).fetchall()
        return iter([self._tuple(thread, ns, row) for row in rows])

    def delete_thread(self, thread_id: str) -> None:
        for table in ("checkpoints", "writes"):
            self._db.execute(f"DELETE FROM {table} WHERE thread = ?", (thread_id,))

    async def adelete_thread(self, thread_id: str) -> None:
        self.delete_thread(thread_id)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self.get_tuple(config)

    async def aput(self, *args: Any) -> RunnableConfig:
        return self.put(*args)

    async def aput_writes(self, *args: Any) -> None:
        self.put_writes(*args)

    async def alist(self, config: Any, **options: Any) -> AsyncIterator[CheckpointTuple]:
        for each in self.list(config, **options):
            yield each

    @staticmethod
    def _config(thread: str, ns: str, checkpoint_id: str) -> RunnableConfig:
        return {"configurable": {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": checkpoint_id}}
