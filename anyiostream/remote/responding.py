"""Threads of a server, answered to requests of a program's own routes in a protocol of front ends."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Collection, Mapping
from itertools import count
from typing import Any, Final
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from anyiostream.remote.accepted import Accepted
from anyiostream.remote.access import Caller
from anyiostream.remote.branching import dropped_from
from anyiostream.remote.commands import Answer, Beginning, InputRespond, RunStart
from anyiostream.remote.identity import ThreadKey
from anyiostream.remote.jobs import not_draining
from anyiostream.remote.log import LogGap
from anyiostream.remote.refusals import GONE, Refusal, unstored
from anyiostream.remote.repeats import MOST_AGAIN, Known, begun_before, known_as
from anyiostream.remote.requests import answer, caller_of, key_of
from anyiostream.remote.service import Service
from anyiostream.remote.store import StoreFailed
from anyiostream.remote.thread import Thread
from anyiostream.remote.turns import TurnResponse, head_of, refused_in, turn_so_far
from anyiostream.sinks import Protocol, Sink, open_sink
from anyiostream.sinks import Request as Asked
from anyiostream.sinks.ai_sdk_history import ui_messages
from anyiostream.sinks.parts import Question

__all__ = ["Responder"]

logger = logging.getLogger(__name__)

NOTHING: Final = 204


class Responder:
    """Answers requests with turns of threads. `authorize` decides who may do what, as everywhere."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def respond(
        self,
        request: Request,
        assistant: str,
        input: Any = None,  # noqa: A002 -- as `open_run` has it
        *,
        thread: str | None = None,
        protocol: Protocol = "ai-sdk",
        include: Collection[str] = (),
    ) -> Response:
        """Run an assistant on a thread; the response shows the run. It goes on when the client leaves.

        ```python
        service = app({"agent": graph})
        api.mount("/threads", service)

        @api.post("/chat")
        async def chat(request):
            asked = parse("ai-sdk", await request.json())
            return await service.respond(request, "agent", asked, protocol="ai-sdk")
        ```

        Args:
            request: The request that is answered: who makes it is told to `authorize`.
            assistant: Which graph.
            input: What it is run with; or a front end's whole request, as `anyiostream.sinks.parse` returns it, whose
                answers resume the run that has asked. One that is to be answered anew (`Request.regenerate`) goes back
                to the checkpoint before the message, and begins a branch there, which becomes the thread; so does one
                that shows less than the thread has said (`Request.users`), if the graph keeps checkpoints. One that
                comes again within `Limits.repeat`, by its `once` or its `Idempotency-Key`, is shown the run that it has
                begun, unless that has failed or was stopped.
            thread: The conversation; by default the front end's, or a new one.
            protocol: What the front end speaks.
            include: Which state to show.

        Returns:
            The response; a request that is not allowed, or wrong, has an error status: 400 if the graph keeps no
            checkpoints, and is asked to answer anew.
        """
        asked = input if isinstance(input, Asked) else Asked(input=input)
        # Before anything is begun: what is wrong with these is a mistake in the program.
        sink = open_sink(protocol, run_id="", request=asked, include=include)
        if request.method == "HEAD":
            return head_of(sink)
        return await _answered(self._respond(request, assistant, asked, thread, protocol, include), sink)

    async def resume(
        self,
        request: Request,
        *,
        thread: str,
        protocol: Protocol = "ai-sdk",
        include: Collection[str] = (),
        ended: bool = False,
    ) -> Response:
        """The turn that is under way on a thread, from its start; 204 if there is none.

        What there is already comes in few events, so that it arrives soon; then the others, as they come.

        Args:
            request: The request that is answered: who makes it is told to `authorize`.
            thread: The conversation.
            protocol: What the front end speaks.
            include: Which state to show.
            ended: Whether the last turn is shown even if it is over, as long as its events are kept. A page that has
                its user's question and not the answer needs it: the turn may have ended since the page was left.
        """
        sink = open_sink(protocol, run_id="", request=Asked(thread=thread), include=include)
        return await _answered(self._resume(request, thread, protocol, include, ended=ended), sink)

    async def history(self, request: Request, *, thread: str) -> Response:
        """What was said on a thread in finished turns, as a JSON list of the AI SDK's `UIMessage`s.

        They are read from the `messages` of the graph's state; a graph without them has none. Open questions are in the
        last one. The answer that is under way is left out: `resume` has it.
        """
        return await _answered(self._history(request, thread))

    async def stop(self, request: Request, *, thread: str, drain: bool = False) -> Response:
        """Stop what is under way on a thread; 204, even if nothing is.

        Args:
            request: The request that is answered: who makes it is told to `authorize`.
            thread: The conversation.
            drain: Whether at the end of its step, from which the thread goes on with the input `None`; 400, and nothing
                is stopped, if one of the graphs has no steps. By default at once.
        """
        return await _answered(self._stop(request, thread, drain=drain))

    # --- inside ---

    async def _respond(
        self,
        request: Request,
        assistant: str,
        asked: Asked,
        thread: str | None,
        protocol: str,
        include: Collection[str],
    ) -> Response:
        thread_id = thread or asked.thread or _new_thread(protocol)
        identity = await self._service.admit(caller_of(request), "read", thread_id)
        anew = asked.regenerate or await self._dropped(ThreadKey(identity, thread_id), assistant, asked)
        beginning = None if anew is None else Beginning(message_id=anew)
        command: RunStart | InputRespond = RunStart(assistant, asked.input, {}, {}, beginning)
        if asked.answers:
            pending = await self._pending(ThreadKey(identity, thread_id), asked.answers)
            answers = tuple(Answer(interrupt_id, (), said) for interrupt_id, said in pending.items())
            command = InputRespond(answers, None, None, {}, {})
        known = known_as(asked, protocol, assistant, key_of(request))
        self._service.check_room(identity)  # nothing is begun that cannot be shown
        found, run_id, after, begun = await self._begun(
            caller_of(request), ThreadKey(identity, thread_id), command, known
        )
        sink = open_sink(protocol, run_id=asked.run_id or run_id, request=asked, include=include, message_id=run_id)
        return TurnResponse(self._service, found, sink, run_id, after, begun=begun)

    async def _begun(
        self, caller: Caller, key: ThreadKey, command: RunStart | InputRespond, known: Known
    ) -> tuple[Thread, str, int, bool]:
        """Begin a run; its thread, its id, a place before its first event, and whether it is not one begun before."""
        once = known.once
        for looked_at in count(1):
            accepted = await self._service.execute(caller, key.thread_id, command, once)
            run_id = str(accepted["run_id"])
            found = await self._service.thread(key.thread_id, key.owner)
            if isinstance(accepted, Accepted):
                return found, run_id, accepted.after, True
            earlier = await begun_before(found, run_id)
            if earlier is not None and known.is_answered_by(earlier):
                return found, run_id, earlier.after, False
            once = f"{known.once} after {run_id}" if looked_at < MOST_AGAIN else None
        raise AssertionError("what is not known is accepted")

    async def _pending(self, key: ThreadKey, answers: Mapping[str, Any]) -> Mapping[str, Any]:
        """Those of several answers that the thread waits for; if it waits for none, all, which are refused or repeated.

        What its user has refused earlier in a message, a page of the AI SDK sends along with each later consent.
        """
        if len(answers) == 1:
            return answers
        found = await self._service.known_thread(key.thread_id, key.owner)
        asked = {} if found is None else found.snapshot.interrupts
        return {interrupt_id: said for interrupt_id, said in answers.items() if interrupt_id in asked} or answers

    async def _dropped(self, key: ThreadKey, assistant: str, asked: Asked) -> str | None:
        """The message from which on a front end, which tells no more than what it shows, has dropped the thread's."""
        if not asked.users or self._service.assistant(assistant).not_branching is not None:
            return None
        found = await self._service.known_thread(key.thread_id, key.owner)
        dropped = None if found is None else dropped_from(found.state()["values"], asked.users)
        if dropped is None and (found is None or found.running or found.snapshot.status is None):
            # What is under way may be about this very message: a request that was sent twice. When the run's turn
            # comes, its checkpoints say so.
            return asked.users[-1]
        return dropped

    async def _resume(
        self, request: Request, thread_id: str, protocol: str, include: Collection[str], *, ended: bool
    ) -> Response:
        identity = await self._service.admit(caller_of(request), "read", thread_id)
        found = await self._service.known_thread(thread_id, identity)
        if found is None or not (found.running or (ended and found.snapshot.status is not None)):
            return Response(status_code=NOTHING)
        found = await self._service.thread(thread_id, identity)
        try:
            before, after = await turn_so_far(found)
        except LogGap as gap:
            self._service.streams.gap()
            raise Refusal("invalid_argument", str(gap), status=GONE) from None
        roots = (event.draft.data.get("run_id") for event in before if event.draft.root_event is not None)
        run_id = str(next(filter(None, roots), None) or found.fold.run_id)
        asked = Asked(thread=thread_id)
        sink = open_sink(protocol, run_id=run_id, request=asked, include=include)
        return TurnResponse(self._service, found, sink, None, after, before=before)

    async def _history(self, request: Request, thread_id: str) -> Response:
        identity = await self._service.admit(caller_of(request), "read", thread_id)
        found = await self._service.known_thread(thread_id, identity)
        if found is None:
            return answer([])
        asked = [Question(each.interrupt_id, each.namespace, each.value) for each in found.snapshot.interrupts.values()]
        failed = found.snapshot.status == "failed"
        return answer(ui_messages(found.state()["values"], asked, finished=not found.running, failed=failed))

    async def _stop(self, request: Request, thread_id: str, *, drain: bool) -> Response:
        identity = await self._service.admit(caller_of(request), "abort", thread_id)
        found = await self._service.known_thread(thread_id, identity)
        if found is None:
            return Response(status_code=NOTHING)
        cannot = next(filter(None, (job.not_draining for job in found.jobs)), None) if drain else None
        if cannot is not None:  # of none of them, then: another request may stop them at once
            raise not_draining(cannot)
        await self._service.stop(found, found.jobs, drain=drain)
        return Response(status_code=NOTHING)


async def _answered(response: Awaitable[Response], sink: Sink | None = None) -> Response:
    try:
        return await response
    except Refusal as refusal:
        return refused_in(sink, refusal)
    except StoreFailed as exc:
        logger.warning("a request is refused: %s", exc)
        return refused_in(sink, unstored())


def _new_thread(protocol: str) -> str:
    return f"{protocol}-{uuid4()}"
