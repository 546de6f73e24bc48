"""`Job`: a run that a thread has accepted, and what it has taken from the thread, in case it comes to nothing.

Also how it is kept in an inbox, so that any server that finds it there can run it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, final
from uuid import uuid4

import anyio
import attrs

from anyiostream import AsyncGraphRunStream
from anyiostream.errors import CannotDrain
from anyiostream.remote.assistants import Assistant
from anyiostream.remote.commands import Answer, Beginning, InputRespond, RunStart
from anyiostream.remote.identity import ThreadKey
from anyiostream.remote.limits import Limits
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.snapshot import ThreadSnapshot
from anyiostream.remote.store import Acceptance, InboxFull, NotPending, Stored, StoredLog
from anyiostream.remote.versions import known
from anyiostream.wire.drafts import Draft
from anyiostream.wire.encoder import WireEncoder, WireInterrupt
from anyiostream.wire.jsonable import kept

__all__ = [
    "Asker",
    "Begun",
    "GoesOn",
    "Job",
    "Taken",
    "answering",
    "decoded_job",
    "lost",
    "never_begun",
    "not_branching",
    "not_draining",
    "offered",
    "starting",
    "too_many",
]

logger = logging.getLogger(__name__)

Run = RunStart | InputRespond
"""A command that starts a run."""


@final
@attrs.frozen
class Asker:
    """Who had the last run of a thread: answers go to it.

    Attributes:
        assistant_id: As the client calls it.
        assistant: The graph; `None` if it is no longer served.
        values: The last snapshot as the graph made it, for a function that waits for its user; otherwise `None`.
    """

    assistant_id: str
    assistant: Assistant | None
    values: Any = None


@final
@attrs.frozen
class Begun:
    """A run that a command has begun.

    Attributes:
        run_id: Its id.
        after: A place in the log before its first event; `None` for a command that was accepted before.
    """

    run_id: str
    after: int | None = None


@final
class GoesOn(Exception):
    """A run would go on where its graph waits for its user, which is to be allowed first."""


@final
@attrs.frozen
class Taken:
    """What a thread had before a run was accepted. It is given back if the run comes to nothing.

    Attributes:
        snapshot: Where the thread stood.
        values: Its values as JSON, if they were kept like that.
        asker: Who waits for its user.
        turn: Where the turn began.
        questions: Events that ask.
        left_out: Events that new viewers are not shown.
    """

    snapshot: ThreadSnapshot
    values: bytes | None
    asker: Asker | None
    turn: int
    questions: frozenset[int]
    left_out: frozenset[int]

    @property
    def waited(self) -> bool:
        """Whether the thread waited for its user."""
        return self.snapshot.waits


@final
@attrs.define(eq=False)
class Job:
    """A run that was accepted.

    Attributes:
        assistant_id: Which graph, as the client calls it.
        assistant: The graph; `None` if it is no longer served.
        command: What the client has sent.
        answered: Ids of the questions that it answers.
        resumes: Whether it goes on with the turn before it.
        asked: What the thread's user was asked when the run was accepted.
        hidden: Events that new viewers are not shown since it was accepted, while the run that asks was not quite over.
        taken: What it has taken, until its graph has begun with it.
        run_id: Its id.
        place: Its place in the thread's inbox.
        attempts: How often servers that died before its end have begun it, since it last made progress.
        fresh: Whether it was begun in this process.
        run: The run, while it is open.
        control: By which it is asked to stop at the end of its step; `None` where it cannot be.
        leaves: Whether it is to stop there, for another server to go on.
        handed_over: Whether it has; and, of a run that goes on, whether the server before had done so.
        aborted: Whether it is to stop.
        drained: Whether it is to stop at the end of its step, because a client wants that.
        tasks: Names of the tasks that have begun and not ended, by id.
        end: How it ended, as the log has it; `None` before.
        done: Set when nothing of it is alive.
    """

    assistant_id: str
    assistant: Assistant | None
    command: Run
    answered: Sequence[str] = ()
    resumes: bool = False
    asked: dict[str, WireInterrupt] = attrs.field(factory=dict)
    hidden: frozenset[int] = frozenset()
    taken: Taken | None = None
    run_id: str = attrs.field(factory=lambda: str(uuid4()))
    place: int = 0
    attempts: int = 0
    fresh: bool = False
    run: AsyncGraphRunStream | None = None
    control: Any = None
    leaves: bool = False
    handed_over: bool = False
    aborted: bool = False
    drained: bool = False
    tasks: dict[Any, str] = attrs.field(factory=dict)
    end: str | None = None
    done: anyio.Event = attrs.field(factory=anyio.Event)

    @property
    def ended(self) -> bool:
        """Whether the log has its end."""
        return self.end is not None

    @property
    def config(self) -> dict[str, Any]:
        """The caller's configuration."""
        given = self.command.config
        return {**given, "metadata": {**given.get("metadata", {}), **self.command.metadata}}

    @property
    def beginning(self) -> Beginning | None:
        """Where it begins, if not where the thread stands."""
        return self.command.beginning if isinstance(self.command, RunStart) else None

    @property
    def goes_on(self) -> bool:
        """Whether it answers its user's questions, or may pass a breakpoint.

        Without an input a LangGraph graph goes on from wherever its thread stands when the run's turn comes.
        """
        if self.resumes or self.assistant is None or not self.assistant.takes_config:
            return self.resumes
        return isinstance(self.command, RunStart) and self.command.input is None

    @property
    def not_draining(self) -> str | None:
        """Why it cannot stop at the end of a step; `None` if it can, or is to stop at once, or has ended."""
        return None if self.assistant is None or self.aborted or self.ended else self.assistant.not_draining

    def observe(self, draft: Draft) -> None:
        """Note an event: with the graph's first one, what the run has taken is used up."""
        if draft.root_event is not None:
            return
        if draft.method == "tasks" and isinstance(draft.data, dict):
            if "result" in draft.data:
                self.tasks.pop(draft.data.get("id"), None)
            else:
                self.tasks[draft.data.get("id")] = str(draft.data.get("name"))
        # What a LangGraph graph shows before any of its tasks has begun is what it had before.
        begins = not draft.namespace and draft.method in {"values", "checkpoints"}
        if begins and self.assistant is not None and self.assistant.takes_config:
            return
        self.use_up()

    def use_up(self) -> None:
        """What it has taken is used, or of no use any more: the thread does not have it again."""
        self.taken, self.asked, self.hidden = None, {}, frozenset()

    def leave(self) -> None:
        """Stop at the end of the step, if it can, for another server to go on."""
        self.leaves = True
        if self.control is not None:
            self.control.request_drain("the server is being stopped")

    def opened(self, run: AsyncGraphRunStream) -> None:
        """Its run has been opened, and takes its first step when it is read."""
        self.run = run
        if self.drained:
            self.drain()

    def drain(self) -> None:
        """Stop at the end of the step, for good."""
        self.drained = True
        if self.run is not None:
            try:
                self.run.request_drain("a client asked for it")
            except CannotDrain as exc:
                logger.warning("run %s goes on: %s", self.run_id, exc)

    def forget(self) -> None:
        """It will not be run: drop what the client has sent."""
        self.command = RunStart(self.assistant_id, None, {}, {})
        self.answered = ()

    def input(self, values: Any) -> Any:
        """What the graph is called with; `values` is the last snapshot of the run before it.

        Raises:
            Refusal: The graph does not take what was sent.
        """
        assert self.assistant is not None
        if isinstance(self.command, InputRespond):
            return self.assistant.resumed_with_answers(self.command, values)
        if self.answered:
            return self.assistant.resumed_with_input(self.command.input, self.answered, values)
        return self.command.input


def never_begun(job: Job) -> Draft:
    """What viewers are told of a run that was cancelled before its turn came."""
    (draft,) = WireEncoder().fail(RuntimeError("the run was cancelled before it began"))
    return attrs.evolve(draft, data={**draft.data, "run_id": job.run_id})


def starting(command: RunStart, assistant: Assistant, snapshot: ThreadSnapshot, last: Asker | None) -> Job:
    """The job of a command to start a run. With interrupts pending, an input answers them; none goes on as it is.

    One that begins elsewhere than where the thread stands drops what has been asked.

    Raises:
        Refusal: The thread waits for its user on behalf of another assistant; the graph cannot begin elsewhere.
    """
    if command.beginning is not None:
        if assistant.not_branching is not None:
            raise not_branching(command.beginning, assistant.not_branching)
        return Job(command.assistant_id, assistant, command)
    if snapshot.waits and last is not None and last.assistant_id != command.assistant_id:
        raise Refusal("invalid_argument", f"assistant {last.assistant_id!r} of this thread waits for its user.")
    if command.input is not None:
        answered = list(snapshot.interrupts)
        return Job(command.assistant_id, assistant, command, answered, resumes=bool(answered))
    resumes = assistant.takes_config and snapshot.status == "interrupted"
    return Job(command.assistant_id, assistant, command, resumes=resumes)


def answering(command: InputRespond, snapshot: ThreadSnapshot, last: Asker | None) -> Job:
    """The job of a command that answers interrupts.

    Raises:
        Refusal: There was no run; an interrupt is not pending.
    """
    if last is None:
        raise Refusal("no_such_run", "this thread has not had a run yet.")
    answered = [each.interrupt_id for each in command.answers]
    if not set(answered) <= set(snapshot.interrupts):
        raise not_pending()
    return Job(last.assistant_id, last.assistant, command, answered, resumes=True)


async def offered(
    log: StoredLog, key: ThreadKey, job: Job, values: Any, once: str | None, limits: Limits
) -> Acceptance:
    """Put a job into the inbox of its thread. It is accepted and the caller knows, or neither: a cancellation waits.

    Args:
        log: The thread's.
        key: Whose thread.
        job: The job.
        values: The last snapshot of the run before it.
        once: By which the same command is known if it is sent again.
        limits: How much is taken on.

    Raises:
        Refusal: The graph does not take it, or the thread has too much to do, or does not ask what it answers.
    """
    if job.assistant is None:
        raise Refusal("invalid_argument", "the graph that asks is no longer served.")
    job.assistant.check_config(job.command.config, limits)
    job.input(values)  # refuses what the graph does not take
    body = encoded_command(job) if log.survives else b""
    try:
        with anyio.CancelScope(shield=True):
            return await log.accept(key, job.run_id, body, job.answered, once, most=limits.queued + 1)
    except InboxFull:
        raise too_many(limits.queued) from None
    except NotPending:
        raise not_pending() from None
    raise AssertionError("a shield swallows nothing")


def too_many(most: int) -> Refusal:
    """Why a run is not accepted that would have to wait behind many."""
    return Refusal("unknown_error", f"{most} runs are waiting on this thread already.", status=429)


def lost() -> Refusal:
    """Why a command is not accepted by way of a thread that is obsolete."""
    return Refusal("unknown_error", "this thread is being taken up again; try again later.", status=503)


def not_branching(beginning: Beginning, reason: str) -> Refusal:
    """Why a run is not accepted that is to begin elsewhere than where its thread stands."""
    text = f"a run cannot begin at a checkpoint here: the graph {reason}."
    if beginning.message_id is not None:
        reason = f"it takes a checkpoint from before the message, and the graph {reason}."
        text = f"an answer cannot be regenerated here: {reason}"
    return Refusal("not_supported", text, status=400)


def not_draining(reason: str) -> Refusal:
    """Why a run is not asked to stop at the end of its step."""
    return Refusal("not_supported", f"the graph {reason}; stop the run at once.", status=400)


def not_pending() -> Refusal:
    """Why an answer is not accepted."""
    return Refusal("no_such_interrupt", "the graph is not (or no longer) waiting at this interrupt.")


def encoded_command(job: Job) -> bytes:
    """A job as an inbox keeps it: its run is given what the client has sent, whichever server runs it."""
    kind = "respond" if isinstance(job.command, InputRespond) else "start"
    command = attrs.asdict(job.command)
    if command.pop("beginning", None) is not None and job.beginning is not None:
        command["anew"] = job.beginning.dump()
    return kept(
        {
            "kind": kind,
            "assistant_id": job.assistant_id,
            "answered": list(job.answered),
            "resumes": job.resumes,
            "command": command,
        }
    )


def decoded_job(stored: Stored, assistants: Mapping[str, Assistant]) -> Job:
    """The job that an inbox has kept."""
    found = json.loads(stored.body)
    given = found["command"]
    command: Run
    if found["kind"] == "respond":
        answers = [
            Answer(each["interrupt_id"], tuple(each["namespace"]), each["response"]) for each in given["answers"]
        ]
        given["answers"] = tuple(answers)
        command = InputRespond(**known(InputRespond, given))
    else:
        command = RunStart(beginning=Beginning.load(given.pop("anew", None)), **known(RunStart, given))
    return Job(
        found["assistant_id"],
        assistants.get(found["assistant_id"]),
        command,
        answered=found["answered"],
        resumes=found["resumes"],
        run_id=stored.run_id,
        place=stored.place,
        attempts=stored.attempts,
        aborted=stored.cancelled,
        drained=stored.drained,
    )
