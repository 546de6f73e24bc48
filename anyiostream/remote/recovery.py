"""What a graph is called with, even if the server that had begun the run has died.

- A LangGraph graph whose checkpoints outlive the process goes on from the newest one: with no input if this run has
  saved it, and otherwise with what the run was begun with, which it has not taken yet. The nodes of the step that was
  interrupted run again.
- Any other graph cannot go on. Its run fails, and says so; only an assistant that says `on_crash="restart"` is called
  with its input once more.
- A server that was stopped cleanly has left the run at the end of a step: then nothing runs again, and nobody notices.
- Whatever had begun is ended in the log first, and viewers are told: `custom:run.restarted`.
- A checkpoint is newer than another one if its id is greater, and ids come from the time of day. So before a run is
  called, ids are advanced past its newest checkpoint, which a server with another time of day may have saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, final

from anyiostream import asyncio_host
from anyiostream.errors import AnyioStreamError, RunAborted
from anyiostream.remote.branching import ADDRESS
from anyiostream.remote.checkpoint_ids import advance_ids
from anyiostream.remote.jobs import Job
from anyiostream.remote.thread import Thread
from anyiostream.remote.totals import RESTARTED
from anyiostream.wire.drafts import Draft
from anyiostream.wire.encoder import now

__all__ = ["RunLost", "input_of"]

DIED: Final = "the server that ran it has died"


@final
class RunLost(AnyioStreamError):
    """A run that cannot go on, and why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the run cannot go on: {reason}. Start it again.")


async def input_of(thread: Thread, job: Job, config: Mapping[str, Any] | None) -> tuple[Any, bool]:
    """What the graph of `job` is called with now, and whether the run has saved a checkpoint, from which it goes on.

    Args:
        thread: The job's thread. What viewers have to know is written to its log.
        job: The run.
        config: The configuration of a LangGraph graph, `None` of others.

    Raises:
        RunLost: It cannot go on.
        RunAborted: It was to be stopped.
    """
    saved = None
    if thread.log.survives and config is not None and job.assistant is not None:
        if job.assistant.keeps_checkpoints or (job.answered and job.assistant.graph.checkpointer):
            saved = await _newest(job, config)
        if saved is not None:
            advance_ids(saved.checkpoint["id"])
    if not thread.goes_on(job):
        if job.assistant is None:
            raise RunLost("its graph is no longer served")
        if thread.log.survives and job.answered and config is not None:
            await _note_answers(thread, job, saved)
        return job.input(thread.ledger.latest), False
    try:
        given, after = _resumed(thread, job, config, saved)
    except AnyioStreamError as exc:
        await _end_opened(thread, job, str(exc))
        raise
    begun = after["checkpoint_id"] is not None
    if job.handed_over:
        job.handed_over = False
        return given, begun  # nothing is repeated, and there is nothing to say
    await _end_opened(thread, job, DIED)
    if thread.fold.running:
        payload = {"run_id": job.run_id, "attempt": job.attempts + 1, **after}
        await thread.recorder.record(job, Draft("custom", (), {"name": RESTARTED, "payload": payload}, now()))
    return given, begun


def _resumed(thread: Thread, job: Job, config: Mapping[str, Any] | None, saved: Any) -> tuple[Any, dict[str, Any]]:
    """What the graph goes on with, and from where, as viewers are told; `saved` is the newest checkpoint, if any."""
    if job.aborted:
        raise RunAborted
    if job.assistant is None:
        raise RunLost(f"{DIED}, and this one does not serve its graph")
    if job.attempts >= thread.limits.attempts:
        raise RunLost(f"{DIED}, {job.attempts} times in a row")
    if job.assistant.keeps_checkpoints and config is not None:
        if saved is not None and saved.metadata.get("run_id") == job.run_id:
            checkpoint_id = saved.checkpoint["id"]
            return None, {"checkpoint_id": checkpoint_id, "after": _place(thread, checkpoint_id)}
        if job.answered and saved is None:
            raise _unanswerable(job, "its checkpoint is no longer there")
        before = thread.fold.answers  # they are counted before the graph is called
        consumed = job.answered and before is not None and _answers(saved) > before
        given = None if consumed else job.input(thread.ledger.latest)
    elif job.assistant.on_crash == "restart":
        given = job.input(thread.ledger.latest)
    else:
        reason = f"{DIED}, and its graph {job.assistant.lost_with_process}"
        raise _unanswerable(job, reason) if job.assistant.takes_config else RunLost(reason)
    return given, {"checkpoint_id": None, "after": thread.fold.running}


async def _note_answers(thread: Thread, job: Job, saved: Any) -> None:
    """Remember how many answers the checkpoint has had, to know later whether it has this one."""
    assert job.assistant is not None
    keeps = job.assistant.keeps_checkpoints
    if saved is None:
        reason = "" if keeps else f": its graph {job.assistant.lost_with_process}"
        raise _unanswerable(job, f"its checkpoint is no longer there{reason}")
    if keeps:
        thread.fold.answers = _answers(saved)
        await thread.recorder.save()


def _unanswerable(job: Job, reason: str) -> RunLost:
    """Why a run is lost with what it would have answered: nobody can answer that now, so it is not asked any more."""
    job.use_up()
    return RunLost(reason)


async def _newest(job: Job, config: Mapping[str, Any]) -> Any:
    """The newest checkpoint of the root, with its metadata and what has been written since; `None` if there is none."""
    assert job.assistant is not None
    given = config["configurable"]
    address = {"configurable": {"checkpoint_ns": "", **{name: given[name] for name in ADDRESS if name in given}}}
    async with asyncio_host() as host:
        return await host.run(job.assistant.graph.checkpointer.aget_tuple, address)


def _answers(saved: Any) -> int:
    """How many answers tasks have had since a checkpoint."""
    return sum(
        len(value) if isinstance(value, list) else 1
        for task_id, channel, value in saved.pending_writes or ()
        if channel == "__resume__" and task_id.strip("0-")
    )


def _place(thread: Thread, checkpoint_id: str) -> int:
    """After which event a checkpoint stands; the newest one, if it has not been shown."""
    return thread.fold.checkpoints.get(checkpoint_id, thread.log.last)


async def _end_opened(thread: Thread, job: Job, reason: str) -> None:
    for draft in list(thread.fold.opened.ends(reason, now())):
        await thread.recorder.record(job, draft)
