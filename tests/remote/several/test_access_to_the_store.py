"""As whom, and by which way servers come to their store: users with few rights, TLS, prefixes, Sentinels."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from anyiostream.remote import Limits
from anyiostream.remote.store import StoreUnfit, thread_key
from anyiostream.remote.store.redis import RedisStore

from ...faults.tcp_proxy import proxy
from ...ports import free_port
from ...waiting import PATIENCE, until
from ..said import ends
from ..store.acting import claimed, draft, offer
from ..store.valkey import BINARY, Valkey, valkey
from .deployment import CALLER, Deployment, answer, events_of, start, state

pytestmark = pytest.mark.anyio

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "several-servers.md"

KEY = thread_key("ann", "t")


def documented_rights() -> str:
    """What the guide says that the store's user needs."""
    found = re.search(r"The user of the store needs `([^`]+)` and `([^`]+)`", GUIDE.read_text(encoding="utf-8"))
    assert found is not None
    return f"{found[1]} {' '.join(found[2].split())}"


async def everything(url: str, folder: Path) -> None:
    """Use all that there is of a store: runs, questions, cancellations, takeovers, threads that are forgotten."""
    deployment = Deployment(url, folder)
    deployment.shut.add("b")
    async with deployment.member() as one, deployment.member() as other:
        run_id = await start(one, "steps", {"trail": ["x"]})
        await until(lambda: "b" in deployment.waiting)
        queued = await start(other, "steps", {"trail": ["y"]})
        await other.cancel(CALLER, "t", queued, wait=False)
        deployment.shut.clear()
        await state(other)
        assert ends(await events_of(other))[:2] == [("running", run_id), ("completed", run_id)]
        await start(other, "question", "x", "q")
        await state(one, "q")
        await answer(one, "Ada", "q")
        assert (await state(other, "q"))["values"]["answer"] == "Ada"
        store: Any = one.store
        await store.watched(thread_key("", "t"), 1)
        await store.load()
        await store.erase(thread_key("", "q"))
        assert await store.expire(0, 0) == 1


async def test_the_documented_rights_are_enough(tmp_path: Path) -> None:
    """A user that has no others serves everything; without one of them it is refused, and told."""
    with valkey(tmp_path) as server:
        rights = documented_rights()
        assert "~PREFIX:*" in rights
        assert server.ask(f"ACL SETUSER runs reset on >s:c@t {rights.replace('PREFIX', '*')}".encode()) == b"+OK\r\n"
        await everything(f"redis://runs:s%3Ac%40t@127.0.0.1:{server.port}", tmp_path)
        assert b"denied" not in server.ask(b"ACL LOG")
        server.ask(b"ACL SETUSER runs -evalsha -eval")
        with pytest.raises(StoreUnfit, match="does not run what it is asked to"):
            async with RedisStore(f"redis://runs:s%3Ac%40t@127.0.0.1:{server.port}", patience=5.0).open(Limits()):
                pass


async def test_a_user_may_have_the_keys_of_its_prefix_alone(tmp_path: Path) -> None:
    """Deployments with prefixes of their own share a store, and neither sees what is the other's."""
    with valkey(tmp_path) as server:
        for prefix in ("one", "other"):
            rights = documented_rights().replace("PREFIX", prefix)
            server.ask(f"ACL SETUSER {prefix} reset on >secret {rights}".encode())
        one, other = (
            RedisStore(f"redis://{each}:secret@127.0.0.1:{server.port}?prefix={each}") for each in ("one", "other")
        )
        async with one.open(Limits()), other.open(Limits()):
            written = await one.log(await claimed(one)).append(draft("mine"))
            assert await other.look(KEY) is None
            await other.accept(offer("r1"), most=9, within=60)
            assert list(await one.read(KEY, 0)) == [written]
            assert await one.unfinished() == []
            await other.erase(KEY)
            assert list(await one.read(KEY, 0)) == [written]
        with pytest.raises(StoreUnfit, match="does not run what it is asked to"):
            async with RedisStore(f"redis://one:secret@127.0.0.1:{server.port}?prefix=other", patience=5.0).open(
                Limits()
            ):
                pass


@contextmanager
def sentinel(folder: Path, port: int, primary: Valkey) -> Iterator[Valkey]:
    """A block in which there is a Sentinel that watches a primary, and lets its replica take over soon."""
    (folder / "sentinel.conf").write_text(
        f"port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {primary.port} 1\n"
        "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n"
    )
    made = Valkey(folder, port, ())
    made.process = subprocess.Popen(
        [BINARY, folder / "sentinel.conf", "--sentinel"], stdout=subprocess.DEVNULL, cwd=folder
    )
    try:
        yield made
    finally:
        made.kill()


def certificates(folder: Path) -> None:
    """A certificate for 127.0.0.1 and its key, and another one."""
    for name in ("mine", "strange"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
             "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / f"{name}.key",
             "-out", folder / f"{name}.crt"],
            check=True, capture_output=True,
        )  # fmt: skip


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates")
async def test_tls(tmp_path: Path) -> None:
    """The server's certificate is checked, and the client shows one, if it is asked for that."""
    certificates(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "mine.crt"))
    context.load_cert_chain(tmp_path / "mine.crt", tmp_path / "mine.key")
    context.verify_mode = ssl.CERT_REQUIRED
    shown = f"ca={tmp_path}/mine.crt&cert={tmp_path}/mine.crt&key={tmp_path}/mine.key"
    # The test server has no TLS of its own: this is what terminates it.
    with valkey(tmp_path) as server:
        async with proxy(("127.0.0.1", server.port), tls=context) as secure:
            store = RedisStore(f"rediss://127.0.0.1:{secure.port}?{shown}")
            async with store.open(Limits()), store.join("one"):
                written = await store.log(await claimed(store)).append(draft())
                assert list(await store.read(KEY, 0)) == [written]
            for wrong in (shown.replace("mine.crt", "strange.crt", 1), f"ca={tmp_path}/mine.crt"):
                with pytest.raises(StoreUnfit, match="cannot be reached"):
                    async with RedisStore(f"rediss://127.0.0.1:{secure.port}?{wrong}", patience=2.0).open(Limits()):
                        pass


async def test_sentinels_know_the_primary(tmp_path: Path) -> None:
    """Also after a failover; what is written then is written there."""
    (tmp_path / "replica").mkdir()
    (tmp_path / "sentinel").mkdir()
    with valkey(tmp_path) as primary:
        with valkey(tmp_path / "replica", "--replicaof", f"127.0.0.1 {primary.port}") as replica:
            port = free_port()
            await until(lambda: b"master_link_status:up" in replica.ask(b"INFO replication"))
            with sentinel(tmp_path / "sentinel", port, primary) as told:
                await until(lambda: b"slaves=1" in told.ask(b"INFO sentinel"))
                store = RedisStore(
                    f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{port}/main", patience=PATIENCE, deadline=1.0
                )
                async with store.open(Limits()):
                    log = store.log(await claimed(store))
                    first = await log.append(draft(1))
                    await until(lambda: replica.ask(b"DBSIZE") == primary.ask(b"DBSIZE"))
                    await anyio.to_thread.run_sync(primary.kill)
                    await until(lambda: b"role:master" in replica.ask(b"INFO replication"))
                    written = [first, await log.append(draft(2))]
                    assert list(await store.read(KEY, 0)) == written
