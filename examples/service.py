"""A web service that streams runs as server-sent events, with both answers to a client that leaves.

`python -m examples.service` starts it, shows as its own client what happens, and ends; with `--port 8000` it serves
until Ctrl-C.

`GET /answer?question=...`: the client's leaving stops the run. The run lives in the response: the framework cancels it,
and leaving the block of `open_run` stops the graph.

`POST /jobs?question=...`, `GET /jobs/{id}/events?after=0`, `DELETE /jobs/{id}`: the client's leaving does not stop the
run. It lives in a task of the service, and clients read what it keeps of the log, from any event on; it is stopped by
`DELETE`, and by the service's own end.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from itertools import count
from typing import Any, final

import anyio
import attrs
import httpx
import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse

from anyiostream import AsyncGraphRunStream, ProtocolEvent, StreamWriter, open_run

WORDS = 40
"""How many words the scripted model says."""

PACE = 0.01
"""How long it takes for each, in s."""

ended: list[str] = []
"""How the agent's runs ended, as the agent itself knows it."""


async def agent(question: str, writer: StreamWriter) -> dict[str, str]:
    """The graph: a long answer."""
    how = "was stopped"
    try:
        async with writer.message() as message:
            for n in range(WORDS):
                await anyio.sleep(PACE)
                await message.text(f"word{n} ")
        how = "has finished"
    finally:
        ended.append(f"the agent {how}: {question}")
    return {"question": question}


@final
@attrs.define(eq=False)
class Job:
    """A run that no client owns, and all of its events so far.

    Attributes:
        events: The events, in order; event `n` has `seq` `n + 1`.
        status: How the run stands.
    """

    events: list[ProtocolEvent] = attrs.field(factory=list)
    status: str = "running"
    _news: anyio.Event = attrs.field(factory=anyio.Event)
    _run: AsyncGraphRunStream | None = None

    async def work(self, question: str) -> None:
        """Run the agent, and keep its events. An error of the graph is this job's alone."""
        try:
            async with open_run(agent, question) as self._run:
                async for event in self._run:
                    self.events.append(event)
                    self._tell()
        except Exception as exc:  # noqa: BLE001 -- told to the clients
            self.status = f"failed: {exc}"
        else:
            self.status = str(self._run.status)
        finally:
            self._tell()

    async def stop(self) -> None:
        """Stop the run."""
        if self._run is not None:
            await self._run.abort()

    async def read(self, after: int) -> AsyncGenerator[ProtocolEvent]:
        """The events after the one with `seq` `after`, as they come, to the end."""
        while True:
            news = self._news
            while after < len(self.events):
                yield self.events[after]
                after += 1
            if self.status != "running":
                return
            await news.wait()

    def _tell(self) -> None:
        """Wake the readers."""
        self._news.set()
        self._news = anyio.Event()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Jobs live as long as the service does."""
    async with anyio.create_task_group() as jobs:
        app.state.tasks = jobs
        app.state.jobs = {}
        app.state.ids = count(1)
        yield
        jobs.cancel_scope.cancel()


app = FastAPI(lifespan=lifespan)


@app.get("/answer")
async def answer(question: str) -> StreamingResponse:
    """Stream a run that ends with its client."""

    async def events() -> AsyncGenerator[str]:
        async with open_run(agent, question) as run:
            async for event in run:
                yield as_sse(event)

    return StreamingResponse(events(), media_type="text/event-stream")


@app.post("/jobs")
async def start_job(question: str) -> dict[str, int]:
    """Start a run that goes on without its client."""
    job, job_id = Job(), next(app.state.ids)
    app.state.jobs[job_id] = job
    app.state.tasks.start_soon(job.work, question)
    return {"id": job_id}


@app.get("/jobs/{job_id}/events")
async def job_events(job_id: int, after: int = 0) -> StreamingResponse:
    """Stream the events of a run, from the one after `after` on."""
    job = known_job(job_id)

    async def events() -> AsyncGenerator[str]:
        async with aclosing(job.read(after)) as kept:
            async for event in kept:
                yield as_sse(event)

    return StreamingResponse(events(), media_type="text/event-stream")


@app.delete("/jobs/{job_id}")
async def stop_job(job_id: int) -> dict[str, str]:
    """Stop a run."""
    job = known_job(job_id)
    await job.stop()
    return {"status": job.status}


def known_job(job_id: int) -> Job:
    """The job of an id, or a 404."""
    job: Job | None = app.state.jobs.get(job_id)
    if job is None:
        raise HTTPException(404, f"there is no job {job_id}")
    return job


def as_sse(event: ProtocolEvent) -> str:
    """An event as a server-sent one, whose id is its `seq`."""
    return f"id: {event.get('seq')}\nevent: {event['method']}\ndata: {json.dumps(event)}\n\n"


# --- its own client ---


async def show() -> None:
    """Start the service, and be its client."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="none"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve)
        while not server.started:  # noqa: ASYNC110 -- uvicorn offers no event
            await anyio.sleep(PACE)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            await show_that_leaving_stops(client)
            await show_that_leaving_does_not_stop(client)
            await show_that_a_job_is_stopped(client)
        server.should_exit = True


async def show_that_leaving_stops(client: httpx.AsyncClient) -> None:
    """Read a little of an answer, and leave."""
    print("A client that leaves its answer:")
    await read(client, "/answer?question=first", most=5)
    await until_ended(1)


async def show_that_leaving_does_not_stop(client: httpx.AsyncClient) -> None:
    """Read a little of a job, leave, and come back for the rest."""
    print("A client that leaves a job, and comes back:")
    job = (await client.post("/jobs?question=second")).json()["id"]
    seen = await read(client, f"/jobs/{job}/events", most=5)
    await until_ended(2)
    seen += await read(client, f"/jobs/{job}/events?after={seen[-1]}")
    print("  every event was seen once:", seen == list(range(1, len(seen) + 1)))


async def show_that_a_job_is_stopped(client: httpx.AsyncClient) -> None:
    """Stop a job while it is at work."""
    print("A job that is stopped:")
    job = (await client.post("/jobs?question=third")).json()["id"]
    await read(client, f"/jobs/{job}/events", most=5)
    await client.delete(f"/jobs/{job}")
    await until_ended(3)


async def read(client: httpx.AsyncClient, path: str, most: int | None = None) -> list[int]:
    """The `seq` of the events of a stream; leave it after `most`."""
    seen: list[int] = []
    async with client.stream("GET", path) as response:
        lines: AsyncIterator[str] = response.aiter_lines()
        async for line in lines:
            if line.startswith("id: "):
                seen.append(int(line.removeprefix("id: ")))
                if len(seen) == most:
                    break
    return seen


async def until_ended(runs: int) -> None:
    """Wait until the agent has ended so many times, and show how."""
    while len(ended) < runs:  # noqa: ASYNC110 -- the service may as well run elsewhere
        await anyio.sleep(PACE)
    print(" ", ended[-1])


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description="A web service that streams runs.")
    parser.add_argument("--port", type=int, help="serve until Ctrl-C, in place of showing itself")
    port: Any = parser.parse_args().port
    if port is None:
        anyio.run(show)
    else:
        uvicorn.run(app, port=port)


if __name__ == "__main__":
    main()
