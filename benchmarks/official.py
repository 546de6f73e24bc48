"""How this package's server does beside the official development server: `python -m benchmarks.official`.

Both are programs that serve the same graphs; the clients are LangGraph's own. Each round starts one server after the
other. The official one is `langgraph dev` of `langgraph-cli[inmem]`, which `nox -s bench-official` installs in an
environment of its own: it is run, and nothing else is done with it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any, Final

import attrs
import httpx
from langgraph_sdk import get_client

from benchmarks.tables import Table

ROOT: Final = Path(__file__).parent.parent

TOKEN: Final = re.compile(r"([0-9.]+) $")

PATIENCE: Final = 300.0
"""Seconds that a server has to start."""


@attrs.frozen
class Workload:
    """What runs do, and what their clients ask for.

    Attributes:
        title: What it is called.
        graph: The graph's name.
        mode: The client's stream mode.
        given: Number of events, bytes of each -> the input.
        sent: An event's data -> when it was made; `None` if it says nothing of that.
    """

    title: str
    graph: str
    mode: Any
    given: Callable[[int, int], Any]
    sent: Callable[[Any], float | None]


def token(data: Any) -> float | None:
    """When the token in a pair of a message and its metadata was made."""
    found = TOKEN.search(str(data[0].get("content", ""))) if isinstance(data, list) else None
    return float(found[1]) if found else None


WORKLOADS: Final = (
    Workload("custom data", "count", "custom", lambda n, size: {"events": n, "size": size}, lambda data: data["sent"]),
    Workload(
        "tokens", "speak", "messages-tuple", lambda n, _: {"messages": [{"role": "user", "content": str(n)}]}, token
    ),
)


@attrs.frozen
class Figures:
    """What one server did with one workload.

    Attributes:
        rate: Events that clients read, per second.
        processor: Microseconds of the server's processor time per event.
        middle: Milliseconds that half of the events were old at most when they were read.
        late: The same of 99 %.
        memory: MiB that the server has had at most so far.
    """

    rate: float
    processor: float
    middle: float
    late: float
    memory: float


def official(langgraph: str, folder: str, jobs: int) -> list[str]:
    """The command of the official server, whose description of the graphs is written into a folder."""
    graphs = {each.graph: f"{ROOT / 'benchmarks' / 'served.py'}:{each.graph}" for each in WORKLOADS}
    Path(folder, "langgraph.json").write_text(json.dumps({"dependencies": [str(ROOT)], "graphs": graphs}))
    return [langgraph, "dev", "--no-browser", "--no-reload", "--n-jobs-per-worker", str(jobs)]


def ours(backend: str) -> list[str]:
    """The command of this package's server."""
    graphs = [f"benchmarks.served:{each.graph}" for each in WORKLOADS]
    return [sys.executable, "-m", "anyiostream", "serve", *graphs, "--backend", backend]


@contextmanager
def served(command: list[str], folder: str, port: int) -> Iterator[tuple[str, int]]:
    """A server process; its address and its number."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Path(folder, "log").open("w+") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield address_of(process, port, log), process.pid
        finally:
            process.terminate()
            process.wait()


def address_of(process: subprocess.Popen[bytes], port: int, log: Any) -> str:
    """The address of a server, once it answers."""
    url, begun = f"http://127.0.0.1:{port}", time.monotonic()
    while process.poll() is None and time.monotonic() - begun < PATIENCE:
        with suppress(httpx.TransportError):
            httpx.get(f"{url}/ok", timeout=PATIENCE)
            return url
        time.sleep(0.1)
    log.seek(0)
    raise RuntimeError(f"the server did not start:\n{log.read()[-2000:]}")


async def followed(url: str, workload: Workload, given: Any, ages: list[float]) -> int:
    """Start a run on a thread of its own, and read it to its end: how many events."""
    events = 0
    async with get_client(url=url) as client:
        thread = await client.threads.create()
        stream: AsyncIterator[Any] = client.runs.stream(
            thread["thread_id"], workload.graph, input=given, stream_mode=workload.mode
        )
        async for part in stream:
            if part.event.startswith("error"):
                raise RuntimeError(part.data)
            sent = workload.sent(part.data) if part.event == workload.mode.removesuffix("-tuple") else None
            if sent is not None:
                events += 1
                ages.append(time.time() - sent)
    return events


async def all_followed(url: str, workload: Workload, runs: int, given: Any, ages: list[float]) -> int:
    """Follow that many runs at once: how many events their clients have read together."""
    return sum(await asyncio.gather(*(followed(url, workload, given, ages) for _ in range(runs))))


def processor(pid: int) -> float:
    """Seconds of processor time of a process so far, and of those it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(int(each) for each in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    """MiB that a process has had at most."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    return int(found[1]) / 1024 if found else 0.0


def measured(url: str, pid: int, workload: Workload, chosen: argparse.Namespace) -> Figures:
    """One workload on a server that runs."""
    given = workload.given(chosen.events, chosen.size)
    asyncio.run(all_followed(url, workload, 2, workload.given(10, 10), []))  # both are warm
    ages: list[float] = []
    used, begun = processor(pid), time.perf_counter()
    events = asyncio.run(all_followed(url, workload, chosen.runs, given, ages))
    seconds, used = time.perf_counter() - begun, processor(pid) - used
    if events != chosen.runs * chosen.events:
        raise RuntimeError(f"{events} events of {chosen.runs * chosen.events} were read")
    parts = quantiles(ages, n=100)
    return Figures(events / seconds, used / events * 1e6, parts[49] * 1e3, parts[98] * 1e3, memory(pid))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--langgraph", default=shutil.which("langgraph"), help="the program `langgraph`")
    parser.add_argument("--runs", type=int, default=10, help="at a time, each read by the client that has started it")
    parser.add_argument("--events", type=int, default=500, help="per run")
    parser.add_argument("--size", type=int, default=100, help="bytes of text per event of custom data")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, default=18123)
    chosen = parser.parse_args()
    if not chosen.langgraph:
        parser.error("there is no program `langgraph`; `nox -s bench-official` installs it, or --langgraph names it")
    commands: dict[str, Callable[[str], list[str]]] = {
        "`langgraph dev`": lambda folder: official(chosen.langgraph, folder, chosen.runs),
        "anyiostream, asyncio": lambda _: ours("asyncio"),
        "anyiostream, trio": lambda _: ours("trio"),
    }
    found: dict[tuple[str, str], list[Figures]] = {}
    for _ in range(chosen.rounds):
        for name, command in commands.items():
            with TemporaryDirectory() as folder, served(command(folder), folder, chosen.port) as (url, pid):
                for workload in WORKLOADS:
                    found.setdefault((workload.title, name), []).append(measured(url, pid, workload, chosen))
    print(table(found, chosen))


def table(found: dict[tuple[str, str], list[Figures]], chosen: argparse.Namespace) -> Table:
    """Medians, and the ratio of processor times to the official server's."""
    rows = []
    for (workload, name), rounds in sorted(found.items()):
        theirs = median(each.processor for each in found[workload, "`langgraph dev`"])
        used = median(each.processor for each in rounds)
        middle = {field: median(getattr(each, field) for each in rounds) for field in ("rate", "middle", "late")}
        rows.append((
            workload, name, f"{middle['rate']:,.0f}", f"{used:.0f}", f"{used / theirs:.2f}",
            f"{middle['middle']:.0f} ms", f"{middle['late']:.0f} ms", f"{max(each.memory for each in rounds):.0f} MiB",
        ))  # fmt: skip
    header = ("events", "server", "read per second", "processor, us each", "ratio", "age, 50 %", "age, 99 %", "memory")
    title = f"{chosen.runs} runs of {chosen.events} events at a time, each read by the official Python client"
    return Table(title, header, tuple(rows))


if __name__ == "__main__":
    main()
