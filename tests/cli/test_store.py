"""`python -m anyiostream store`."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from anyiostream.cli.main import main

remote = pytest.importorskip("anyiostream.remote")


def test_a_backup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is a store; what is there already is not overwritten, and what is no store is not copied."""

    async def use(path: Path) -> None:
        async with remote.SqliteStore(path).open(remote.Limits()):
            pass

    anyio.run(use, tmp_path / "f")
    copy = ["store", "backup", str(tmp_path / "f"), str(tmp_path / "copy")]
    assert main(copy) == 0
    anyio.run(use, tmp_path / "copy")
    assert main(copy) == 2
    assert "overwrites nothing" in capsys.readouterr().err
    assert main(["store", "backup", str(tmp_path / "nothing"), str(tmp_path / "other")]) == 2
    assert "no such file" in capsys.readouterr().err
