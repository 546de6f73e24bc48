"""`python -m tests.remote.several.kills`: kill servers out of several over one store, and print what clients saw.

As `tests.remote.kills`, with several servers behind a proxy that goes round them. Some are killed, some are stopped for
longer than their lease and then go on, some are told to stop and replaced, afterwards or before (`roll`).
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from valkey import Valkey as Client

from ...faults.tcp_proxy import Proxy, proxy
from ...ports import free_port
from ...waiting import PATIENCE
from ..kills.kit import GRAPHS, Kit, Report, is_alive, kinds_here, run_and_leave
from ..store.valkey import Valkey, valkey

__all__ = ["SharedKit", "kill_several"]

LEASE = 2.0
"""Seconds."""

STRIKES = ("kill", "kill", "kill", "freeze", "replace")


class SharedKit(Kit):
    """One series of strikes against servers that share a store.

    Args:
        store: What they share.
        between: The proxy in front of them.
        ports: Where they listen.
        drawn: What happens to them is drawn from these.
        shifts: Seconds by which their clocks are ahead; one is drawn for each server.

    Attributes:
        strikes: What has happened to servers, and how often.
    """

    def __init__(
        self,
        *args: Any,
        store: Valkey,
        between: Proxy,
        ports: list[int],
        drawn: Sequence[str] = STRIKES,
        shifts: Sequence[int] = (0,),
    ) -> None:
        super().__init__(*args)
        self.drawn = drawn
        self.shifts = shifts
        self.store = store
        self.between = between
        self.ports = ports
        self.pids: dict[int, int] = {}
        self.strikes: Counter[str] = Counter()
        self.client = Client(port=store.port)
        self.names: dict[str, str] = {}
        self.url = f"http://127.0.0.1:{between.port}"
        self.http = httpx.AsyncClient(base_url=self.url, timeout=10)  # a command is repeated while it is known
        graphs = " ".join(f"tests.remote.kills.served:{name}" for name in GRAPHS)
        # On a busy machine a command may be sent for longer than servers know one by default.
        limits = f"--limit repeat={PATIENCE} "
        if not set(drawn) - {"roll", "replace"}:
            limits += f"--limit drain={PATIENCE} "
        self.arguments = f"{graphs} --store {store.url}?lease={LEASE} --backend {self.backend} {limits}--port "

    @property
    def served(self) -> bool:
        return any(map(is_alive, self.pids.values()))

    @property
    def may_ask_again(self) -> bool:
        """A server that was frozen for longer than its lease wakes up in a node, and may still save a checkpoint.

        If a run goes on from that one, its graph asks anew. An input that is sent then is taken for the answer.
        """
        return self.strikes["freeze"] > 0

    async def begin(self, port: int) -> None:
        """Start a server on one of the ports."""
        self.nursery.stdin.write(f"KILLS_SHIFT={self.draw.choice(self.shifts)} {self.arguments}{port}\n".encode())
        self.pids[port] = int(await self.nursery.stdout.readline())

    async def set_up(self) -> None:
        for port in self.ports:
            await self.begin(port)
        await self.up()

    async def strike(self) -> None:
        port = self.draw.choice(self.ports)
        pid = self.pids[port]
        kind = self.draw.choice(self.drawn)
        self.strikes[kind] += 1
        if not is_alive(pid):
            self.report.violate(f"the server on port {port} has ended by itself")
            await self.begin(port)
            return
        if kind == "freeze":
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(LEASE * 1.5)
            os.kill(pid, signal.SIGCONT)
            return
        if kind == "roll":
            await self.roll(port)
            return
        os.kill(pid, signal.SIGKILL if kind == "kill" else signal.SIGTERM)
        while is_alive(pid):
            await asyncio.sleep(0.01)
        await self.begin(port)

    async def roll(self, port: int) -> None:
        """Replace a server as one should: its successor is there before it is told to stop."""
        after = free_port()
        await self.begin(after)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{after}") as client:
            while True:
                with suppress(httpx.TransportError):
                    if (await client.get("/ready")).status_code == 200:
                        break
                await asyncio.sleep(0.01)
        self.ports = [after if each == port else each for each in self.ports]
        self.between.target(*(("127.0.0.1", each) for each in self.ports))
        pid = self.pids.pop(port)
        if not is_alive(pid):
            self.report.wrong.append(f"the server on port {port} has ended by itself")
            return
        os.kill(pid, signal.SIGTERM)
        while is_alive(pid):
            await asyncio.sleep(0.01)

    def tear_down(self) -> None:
        for pid in self.pids.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stored(self, thread: str, after: int) -> tuple[str, list[tuple[int, bytes]]] | None:
        if thread not in self.names:
            for name in self.client.scan_iter(match="anyiostream:t:*:rec"):
                self.names[self.client.hget(name, "id").decode()] = name.decode()
        if thread not in self.names:
            return None
        name = self.names[thread]
        entries = self.client.xrange(f"{name.removesuffix('rec')}log", min=f"{after + 1}")
        return self.client.hget(name, "gen").decode(), [
            (int(place.decode().partition("-")[0]), fields[b"b"]) for place, fields in entries
        ]


def kill_several(folder: Path, **options: Any) -> tuple[Report, Counter[str]]:
    """Strike at servers, and say what has happened.

    Args:
        folder: Where their files are.
        options: `servers`, `kills`, `threads`, `viewers` of each thread, `seed`, `backend`, `pause`, `seconds` for
            all, `kinds` of viewers, and `drawn` and `shifts` of the kit.
    """

    async def run() -> tuple[Report, Counter[str]]:
        ports = [free_port() for _ in range(options["servers"])]
        with valkey(folder, "--appendonly", "yes") as store:
            async with proxy(*(("127.0.0.1", port) for port in ports)) as between:
                kinds = options.get("kinds") or kinds_here()
                given = {name: options[name] for name in ("drawn", "shifts") if name in options}
                kit = SharedKit(
                    folder, options["seed"], options["backend"], kinds, options.get("viewers", 1),
                    store=store, between=between, ports=ports, **given,
                )  # fmt: skip
                seconds = options.get("seconds", math.inf)
                report = await kit.run(options["kills"], options["threads"], options["pause"], seconds)
                return report, kit.strikes

    return run_and_leave(run())


def main() -> int:
    """Run it; 1 if something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--servers", type=int, default=4)
    parser.add_argument("--threads", type=int, default=50)
    parser.add_argument("--viewers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=math.inf, help="end earlier, after so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between two strikes, at most")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.backend}, {arguments.servers} servers", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report, strikes = kill_several(Path(folder), **vars(arguments))
        if report.wrong:
            print((Path(folder) / "servers.log").read_text()[-20000:])
    print(f"{dict(strikes)}, {report}")
    return bool(report.wrong)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # some clients take no notice of being cancelled, and say so when they are collected
