"""Running a job: the graph inside `open_run`, its raw log into the thread's."""

from __future__ import annotations

import logging
from typing import Any, final

from anyiostream.channels.channel import StreamChannel
from anyiostream.events import Namespace, ProtocolEvent
from anyiostream.remote.assistants import RunContext, run_context
from anyiostream.remote.thread import Job, Thread
from anyiostream.remote.wire import WireEncoder
from anyiostream.run import open_run
from anyiostream.transformer import StreamTransformer

__all__ = ["WireTransformer", "perform"]

logger = logging.getLogger(__name__)


@final
class WireTransformer(StreamTransformer):
    """Asks the graph for every stream mode that the wire has a channel for, and puts `tasks` back into the raw log.

    The lifecycle projection keeps them out of it, but the Python client tells by them how a subgraph has ended.
    """

    _native = True
    required_stream_modes = ("tasks", "updates", "custom", "checkpoints", "tools")
    methods = ("tasks",)

    def __init__(self, scope: Namespace = ()) -> None:
        """Make the transformer and its channel."""
        super().__init__(scope)
        self._tasks: StreamChannel[Any] = StreamChannel("tasks")

    def init(self) -> dict[str, Any]:
        """One projection, which nobody reads: what counts is that its channel is named."""
        return {"wire.tasks": self._tasks}

    def process(self, event: ProtocolEvent) -> bool:
        """Put a task's event back."""
        self._tasks.push(event["params"]["data"])
        return True


async def perform(thread: Thread, job: Job) -> None:
    """Run `job` to its end, and write its events to the thread. An error of the graph is an event, not an exception.

    Cancelled, it leaves nothing of the run alive.
    """
    encoder = WireEncoder()
    assistant = job.assistant
    context = RunContext(thread.thread_id, job.run_id, thread.owner, job.config)
    token = run_context.set(context)
    try:
        config = assistant.run_config(job.config, context) if assistant.takes_config else None
        async with open_run(
            assistant.graph,
            job.input,
            config=config,
            transformers=[WireTransformer, *assistant.transformers],
            root_lifecycle=True,
            **assistant.options,
        ) as run:
            job.run = run
            if job.aborted:
                await run.abort()
            async for event in run:
                await _record(thread, job, encoder, event)
    except Exception as exc:
        if job.ended:
            # The graph has ended, with this error or before it.
            logger.warning("run %s of thread %s: %s", job.run_id, thread.thread_id, exc, exc_info=exc)
            return
        logger.warning("run %s of thread %s could not be run", job.run_id, thread.thread_id, exc_info=exc)
        for draft in encoder.fail(exc):
            await thread.record(job, draft)
    finally:
        job.run = None
        run_context.reset(token)


async def _record(thread: Thread, job: Job, encoder: WireEncoder, event: ProtocolEvent) -> None:
    params = event["params"]
    if event["method"] == "values" and not params["namespace"]:
        thread.keep(params["data"])
    drafts = list(encoder.encode(event))
    if encoder.ended == "interrupted":
        thread.ask(encoder.interrupts)
    for draft in drafts:
        await thread.record(job, draft)
