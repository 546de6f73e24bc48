"""What the page's list of threads costs, with many that are live: `python -m benchmarks.index`.

A server process runs as many runs at a time as there are threads, each of which says a word now and then. They are
watched by nobody, by a reader of `POST /live`, and by the page in Chromium, which needs Playwright. Reported are shares
of a core, in processor time, sizes, and how long the page takes until it paints.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import time
from collections.abc import Callable
from typing import Any, Final

import anyio

from anyiostream import GraphWriter
from benchmarks.remote import Server, started

AT_ONCE: Final = 50
"""Requests for runs that are under way at a time."""

OPTIONS: Final = (
    *("--limit", "runs=5000", "--limit", "threads=5000", "--limit", "owner_threads=5000"),
    *("--log-level", "warning"),  # nobody reads what it says of requests
)


async def talks(given: dict[str, Any], writer: GraphWriter) -> None:
    """The graph: it says a word now and then, and never ends."""
    async with writer.message(node="think") as message:
        while True:
            await message.text("word ")
            await anyio.sleep(given["pace"])


async def begin(server: Server, threads: int, pace: float) -> None:
    """Start a run on each thread."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with free:
            await server.start(f"thread-{number}", {"pace": pace}, "talks")

    async with asyncio.TaskGroup() as tasks:
        for number in range(threads):
            tasks.create_task(one(number))


async def read(server: Server, seconds: float) -> tuple[int, float]:
    """Follow the list: bytes of its first event, and bytes a second after it."""
    reader, writer = await server.post("/live", {})
    buffer = b""
    while b"\n\n" not in buffer.partition(b"\r\n\r\n")[2]:
        buffer += await reader.read(2**20)
    first, later, until = len(buffer), 0, time.perf_counter() + seconds
    while (left := until - time.perf_counter()) > 0:
        try:
            later += len(await asyncio.wait_for(reader.read(2**20), left))
        except TimeoutError:
            break
    writer.close()
    return first, later / seconds


def share(server: Server, work: Callable[[], Any]) -> tuple[float, Any]:
    """The share of a core that the server takes meanwhile, and what `work` returns."""
    before, begun = server.processor(), time.perf_counter()
    found = work()
    return (server.processor() - before) / (time.perf_counter() - begun), found


def show(tab: Any, url: str, seconds: float, threads: int) -> dict[str, float]:
    """Look at the page: ms until it paints, its share of a core, MiB of its heap, and its nodes."""
    session = tab.context.new_cdp_session(tab)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def metrics() -> dict[str, float]:
        return {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}

    tab.goto(url)
    tab.get_by_text(f"{threads:,} threads", exact=True).wait_for(timeout=120_000)
    paint = tab.evaluate(
        "performance.getEntriesByType('paint')[0].startTime"
        " - performance.getEntriesByType('navigation')[0].responseStart"
    )
    before, begun = metrics(), time.perf_counter()
    tab.wait_for_timeout(seconds * 1000)
    took = time.perf_counter() - begun
    session.send("HeapProfiler.collectGarbage")
    after = metrics()
    return {
        "paint": paint,
        "share": (after["TaskDuration"] - before["TaskDuration"]) / took,
        "heap": after["JSHeapUsedSize"] / 2**20,
        "nodes": tab.evaluate("document.querySelectorAll('*').length"),
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1000)
    parser.add_argument("--pace", type=float, default=10.0, help="s between two words of a thread (%(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="that each is watched for (%(default)s)")
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    arguments = parser.parse_args()
    seconds = arguments.seconds
    with started(arguments.backend, "memory", "benchmarks.index:talks", *OPTIONS) as server:
        empty = server.memory("VmRSS")
        asyncio.run(begin(server, arguments.threads, arguments.pace))
        time.sleep(2)
        print(f"{arguments.threads} live threads, each with a word every {arguments.pace} s", flush=True)
        print(
            f"memory of the server    {(server.memory('VmRSS') - empty) * 1024 / arguments.threads:8.1f} KiB a thread"
        )
        alone, _ = share(server, lambda: time.sleep(seconds))
        read_by, (first, later) = share(server, lambda: asyncio.run(read(server, seconds)))
        print(f"server, nobody looks    {alone:8.1%} of a core")
        print(f"server, one reader      {read_by - alone:+8.1%} of a core; at most 10 %")
        print(f"first event of the list {first / 1024:8.1f} KiB, then {later / 1024:.1f} KiB/s", flush=True)
        chromium = shutil.which("chromium")
        if chromium is None:
            return
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 -- not everywhere

        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            shown_by, page = share(server, lambda: show(browser.new_page(), server.url, seconds, arguments.threads))
            browser.close()
        print(f"server, the page        {shown_by - alone:+8.1%} of a core")
        print(f"the page                {page['share']:8.1%} of a core; at most 5 %")
        print(f"                        {page['heap']:8.1f} MiB of heap, {page['nodes']:.0f} nodes")
        print(f"first paint             {page['paint']:8.0f} ms after the first byte; at most 200")


if __name__ == "__main__":
    main()
