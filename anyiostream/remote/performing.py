"""Running a job: the graph inside `open_run`, its raw log into the thread's."""

from __future__ import annotations

import logging
from typing import Any

from anyiostream import AsyncGraphRunStream, ProtocolEvent, RunAborted, open_run
from anyiostream.remote.assistants import Assistant, RunContext, run_context
from anyiostream.remote.branching import branched
from anyiostream.remote.containing import pass_on_own
from anyiostream.remote.jobs import Job
from anyiostream.remote.recorder import STREAMED
from anyiostream.remote.recovery import RunLost, input_of
from anyiostream.remote.thread import Thread
from anyiostream.tooling import loggable, text_of
from anyiostream.wire.encoder import WireEncoder
from anyiostream.wire.redaction import one_line
from anyiostream.wire.transformer import WireTransformer

__all__ = ["perform"]

logger = logging.getLogger(__name__)


async def perform(thread: Thread, job: Job) -> None:
    """Run `job` to its end, and write its events to the thread. What the graph raises is an event, not an exception.

    Cancelled, it leaves nothing of the run alive.
    """
    encoder = WireEncoder()
    context = RunContext(thread.thread_id, job.run_id, thread.owner, job.config, thread.checkpoint_thread)
    token = run_context.set(context)
    try:
        config = None
        if job.assistant is not None and job.assistant.takes_config:
            config = job.assistant.run_config(job.config, context)
        given, begun = await input_of(thread, job, config)
        assistant = job.assistant
        assert assistant is not None
        if job.beginning is not None and config is not None and not begun:
            config = await branched(assistant, config, job.beginning)
        job.control = _control(thread, assistant)
        if job.leaves:
            job.leave()
        async with open_run(
            assistant.graph,
            given,
            config=config,
            transformers=[WireTransformer, *assistant.transformers],
            root_lifecycle=True,
            **{**_options(job), **assistant.options},
        ) as run:
            await _write(thread, job, encoder, run)
    except BaseException as exc:
        await pass_on_own(exc, f"run {job.run_id} of thread {thread.thread_id}")
        if job.handed_over:
            return
        if job.ended:
            # The graph has ended, with this error or before it.
            logger.warning(
                "run %s of thread %s: %s", job.run_id, thread.thread_id, one_line(text_of(exc)), exc_info=loggable(exc)
            )
            return
        # That a run is lost is said with all there is to know; where it was found out is of no use.
        trace = None if isinstance(exc, RunLost) else loggable(exc)
        text = one_line(text_of(exc))
        logger.warning("run %s of thread %s could not be run: %s", job.run_id, thread.thread_id, text, exc_info=trace)
        for draft in encoder.fail(exc):
            await thread.recorder.record(job, draft)
    finally:
        job.run = job.control = None
        run_context.reset(token)


def _control(thread: Thread, assistant: Assistant) -> Any:
    """By which a run is asked to stop at the end of its step; `None` where nobody could go on from there."""
    if not thread.log.survives or not assistant.keeps_checkpoints:
        return None
    from langgraph.runtime import RunControl  # noqa: PLC0415 -- an extra

    return RunControl()


def _options(job: Job) -> dict[str, Any]:
    """What a server adds to an assistant's options: where runs go on from checkpoints, these are saved in time."""
    return {} if job.control is None else {"durability": "sync", "control": job.control}


async def _write(thread: Thread, job: Job, encoder: WireEncoder, run: AsyncGraphRunStream) -> None:
    """Write what a run says, and its end, which a run that is aborted before its first event does not say."""
    job.opened(run)
    if job.aborted:
        await run.abort()
    async for event in run:
        await _record(thread, job, encoder, event)
    if not job.handed_over:
        for draft in encoder.fail(RunAborted()):
            await thread.recorder.record(job, draft)


async def _record(thread: Thread, job: Job, encoder: WireEncoder, event: ProtocolEvent) -> None:
    params = event["params"]
    leaves = job.leaves and not job.drained
    if leaves and event["method"] == "lifecycle" and params["data"].get("event") == "drained":
        job.handed_over = True
        return  # to clients the run goes on
    if not params["namespace"]:
        if event["method"] == "values":
            thread.ledger.keep(params["data"])
        elif event["method"] == "checkpoints":
            thread.snapshot.expect(params["data"])
    drafts = encoder.encode(event)
    if encoder.ended == "interrupted":
        thread.ledger.ask(encoder.interrupts)
    for draft in drafts:
        await thread.recorder.record(job, draft)
    if event["method"] not in STREAMED:
        await thread.recorder.settle()  # also where nothing is shown of it
