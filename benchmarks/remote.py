"""How a server stands up to many viewers: `python -m benchmarks.remote`.

A server process runs a number of runs at a time; viewers, each with a connection of its own, are spread over them and
follow from the first event. Every viewer must see every event of its run once, in order. Reported are the time that
the runs take without viewers and with them, the events that are delivered, how old they are when they arrive, and what
the server needs in memory and processor time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from itertools import product
from pathlib import Path
from signal import Signals
from statistics import quantiles
from tempfile import TemporaryDirectory
from threading import Timer
from typing import Any
from urllib.parse import urlsplit

import anyio
import attrs

from anyiostream import GraphWriter

SEQ = re.compile(rb'"seq":(\d+),')
SENT = re.compile(rb'"sent":([0-9.]+)')
LAST = re.compile(rb'"event":"(?:completed|failed)"')
CHANNELS = ["custom", "lifecycle"]

COUNT = "benchmarks.remote:count"
"""The graph, as a server is told."""

PATIENCE = 120.0
"""Seconds that a server may take to start, or to stop."""


async def count(given: dict[str, Any], writer: GraphWriter) -> int:
    """The graph: it writes as fast as it can, or that many events a second, if `rate` says so."""
    begun, rate = anyio.current_time(), given.get("rate")
    for n in range(given["events"]):
        if rate:
            await anyio.sleep_until(begun + n / rate)
        await writer.custom({"n": n, "sent": time.time(), "text": "x" * given["size"]})
    return int(given["events"])


@attrs.define
class Seen:
    """What one viewer has seen.

    Attributes:
        events: How many.
        bytes: Of these, as they are sent.
        ages: Seconds from when an event was written until it was read, for some of them.
    """

    events: int = 0
    bytes: int = 0
    ages: list[float] = attrs.field(factory=list)


class Server:
    """A server process, by its address."""

    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.url = url
        self.pid = process.pid
        self._process = process
        address = urlsplit(url)
        assert address.hostname is not None
        assert address.port is not None
        self._address = address.hostname, address.port

    async def post(self, path: str, body: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a request; where its answer is read."""
        reader, writer = await asyncio.open_connection(*self._address, limit=2**20)
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + content)
        await writer.drain()
        status = await reader.readline()
        assert b" 200 " in status, status
        return reader, writer

    async def start(self, thread: str, given: dict[str, Any], assistant: str = "count") -> None:
        """Start a run."""
        params = {"assistant_id": assistant, "input": given}
        reader, writer = await self.post(
            f"/threads/{thread}/commands", {"id": 1, "method": "run.start", "params": params}
        )
        await reader.readuntil(b"}")  # it has been accepted
        writer.close()

    async def events(
        self, thread: str, opened: asyncio.Semaphore | None = None, channels: Sequence[str] = CHANNELS
    ) -> AsyncGenerator[bytes]:
        """The events of a thread as they are sent, from the first one, until its run has ended.

        When they are followed, `opened` is released.
        """
        async with aclosing(self.chunks(thread, opened, channels)) as chunks:
            async for lines in chunks:
                for line in lines.splitlines(keepends=True):
                    if line.startswith(b"data: "):
                        yield line

    async def chunks(
        self, thread: str, opened: asyncio.Semaphore | None = None, channels: Sequence[str] = CHANNELS
    ) -> AsyncGenerator[bytes]:
        """As `events`, by as many whole lines as come at once."""
        reader, writer = await self.post(f"/threads/{thread}/stream/events", {"channels": channels})
        if opened is not None:
            opened.release()
        rest = b""
        try:
            while more := await reader.read(2**18):
                lines, newline, rest = (rest + more).rpartition(b"\n")
                yield lines + newline
                if LAST.search(lines):
                    break
        finally:
            writer.close()

    async def view(self, thread: str, seen: Seen, opened: asyncio.Semaphore) -> None:
        """Follow a thread until its run has ended, and check that nothing is missing or comes twice.

        It does as little for each event as it can: it shares the machine with the server.
        """
        expected: int | None = None
        async for lines in self.chunks(thread, opened):
            now, places = time.time(), [int(place) for place in SEQ.findall(lines)]
            if places:
                first = places[0] if expected is None else expected
                # Only before its last event, the run's end, there may be events of other channels.
                last = places.pop() if LAST.search(lines) else None
                assert places == [*range(first, first + len(places))], f"{thread}: {places} where {first} was next"
                assert last is None or last >= first + len(places), f"{thread}: {last} comes again"
                expected = first + len(places)
                seen.events += len(places) + (last is not None)
            seen.bytes += len(lines)
            seen.ages += [now - float(sent) for sent in SENT.findall(lines)[::10]]

    def send(self, signal: Signals) -> None:
        """Send the process a signal."""
        self._process.send_signal(signal)

    def wait(self) -> None:
        """Wait until the process has ended."""
        self._process.communicate(timeout=PATIENCE)

    def memory(self, kind: str = "VmHWM") -> float:
        """MiB that the process has had at most; or `VmRSS`, those that it has now."""
        return self._status(kind) / 1024

    def processor(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith(name):
                return int(line.split()[1])
        raise AssertionError(name)


@contextmanager
def started(backend: str, store: str, graph: str = COUNT, *options: str, **environment: str) -> Iterator[Server]:
    """A server process on a free port. One that neither starts nor stops in `PATIENCE` is killed."""
    command = [sys.executable, "-m", "anyiostream", "serve", graph, *options]
    process = subprocess.Popen(
        [*command, "--backend", backend, "--store", store, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, **environment},
    )
    late = Timer(PATIENCE, process.kill)
    late.start()
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r" at (http://\S+)", line):
                late.cancel()
                yield Server(found[1], process)
                return
        raise AssertionError("the server did not start")
    finally:
        late.cancel()
        process.terminate()
        try:
            process.communicate(timeout=PATIENCE)
        finally:
            process.kill()


async def measured(
    servers: Sequence[Server], name: str, runs: int, viewers: int, given: dict[str, Any]
) -> tuple[float, list[Seen]]:
    """Seconds until every run has ended and every viewer has seen it, and what they saw.

    The runs are started at the servers in turn, and each run's viewers are spread over all of them.
    """
    opened = asyncio.Semaphore(0)
    seen = [Seen() for _ in range(max(viewers, runs))]
    async with asyncio.TaskGroup() as tasks:
        if viewers:
            for n, each in enumerate(seen):
                server = servers[(n // runs + n % runs) % len(servers)]
                tasks.create_task(server.view(f"{name}-{n % runs}", each, opened))
            for _ in seen:
                await opened.acquire()
        begun = time.perf_counter()
        for n in range(runs):
            tasks.create_task(servers[n % len(servers)].start(f"{name}-{n}", given))
        if not viewers:
            # One watcher each, which is sent the run's beginning and end.
            for n in range(runs):
                tasks.create_task(ended(servers[n % len(servers)], f"{name}-{n}"))
    return time.perf_counter() - begun, seen


async def ended(server: Server, thread: str) -> None:
    """Wait for the end of a run."""
    async for _ in server.events(thread, channels=["lifecycle"]):
        pass


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--events", type=int, default=500, help="per run")
    parser.add_argument("--size", type=int, default=100, help="bytes of text per event")
    parser.add_argument("--store", choices=["memory", "sqlite"], action="append")
    parser.add_argument("--backend", choices=["asyncio", "trio"], action="append")
    arguments = parser.parse_args()
    print(f"{arguments.runs} runs of {arguments.events} events, {arguments.viewers} viewers")
    print(
        f"{'backend':8} {'store':8} {'alone':>8} {'viewed':>8} {'events/s':>9} {'median':>8} {'99 %':>8} {'memory':>9}"
        f" {'cpu':>7}"
    )
    for store, backend in product(arguments.store or ["memory", "sqlite"], arguments.backend or ["asyncio", "trio"]):
        with TemporaryDirectory() as folder:
            where = "memory" if store == "memory" else f"sqlite:{folder}/runs"
            with started(backend, where) as server:
                row = measure(server, arguments)
        print(f"{backend:8} {store:8} {row}", flush=True)


def measure(server: Server, arguments: argparse.Namespace) -> str:
    """The figures of a server."""
    given = {"events": arguments.events, "size": arguments.size}
    alone, _ = asyncio.run(measured([server], "alone", arguments.runs, 0, given))
    before = server.processor()
    viewed, seen = asyncio.run(measured([server], "viewed", arguments.runs, arguments.viewers, given))
    delivered = sum(each.events for each in seen)
    expected = arguments.events + 2  # the run's beginning and its end
    assert {each.events for each in seen} == {expected}, {each.events for each in seen}
    ages = quantiles((age for each in seen for age in each.ages), n=100)
    return (
        f"{alone:7.2f}s {viewed:7.2f}s {delivered / viewed:9.0f} {ages[49] * 1000:6.0f}ms"
        f" {ages[98] * 1000:6.0f}ms {server.memory():6.0f}MiB {server.processor() - before:6.2f}s"
    )


if __name__ == "__main__":
    main()
