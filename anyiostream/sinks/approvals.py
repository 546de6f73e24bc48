"""Questions that ask whether a tool may be called, and the answers to them.

A graph asks like that in one of two ways:

- The value of its interrupt names the call: `{"tool_call_id": "c1", ...}`. The answer is `{"approved": true}`, with a
  `reason` if the user gives one.
- LangChain's human-in-the-loop middleware has `{"action_requests": [{"name", "args"}, ...]}`, which names no call: they
  are found by name and arguments. The answer is `{"decisions": [{"type": "approve"}, ...]}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, final

import attrs

from anyiostream.sinks.parts import Call, Question

__all__ = ["Approval", "answer_of", "approval_ids", "approvals_of"]


@final
@attrs.frozen
class Approval:
    """A call that waits for its user's consent.

    Attributes:
        id: By which the consent is known.
        call: Which call.
        question: What the graph has asked.
    """

    id: str
    call: Call
    question: Question


def approval_ids(interrupt_id: str, value: Any) -> list[str]:
    """The ids of the consents that a question asks for; empty if it asks something else."""
    if not isinstance(value, Mapping):
        return []
    if isinstance(value.get("tool_call_id"), str):
        return [interrupt_id]
    requests = value.get("action_requests")
    if isinstance(requests, list) and requests and all(isinstance(each, Mapping) for each in requests):
        return [f"{interrupt_id}/{index}" for index in range(len(requests))]
    return []


def approvals_of(
    questions: Iterable[Question], calls: Mapping[str, Call], make: Callable[[str, str, Any], Call]
) -> list[Approval]:
    """What the questions ask consent for. A call that is not known yet is made."""
    found: list[Approval] = []
    taken: set[str] = set()
    for question in questions:
        for index, approval_id in enumerate(approval_ids(question.id, question.value)):
            asked = question.value
            if "action_requests" in asked and "tool_call_id" not in asked:
                asked = asked["action_requests"][index]
            call = _call_of(asked, calls, taken)
            if call is None:
                call_id = asked.get("tool_call_id") or approval_id
                call = make(str(call_id), str(asked.get("name") or "tool"), asked.get("args"))
            taken.add(call.id)
            found.append(Approval(approval_id, call, question))
    return found


def _call_of(asked: Mapping[str, Any], calls: Mapping[str, Call], taken: set[str]) -> Call | None:
    named = asked.get("tool_call_id")
    if isinstance(named, str):
        return calls.get(named)
    # What has a result has been called: consent is asked for another call.
    tool = asked.get("name")
    free = [each for each in calls.values() if each.name == tool and not each.answered and each.id not in taken]
    free.sort(key=lambda call: bool(call.input != asked.get("args")))
    return free[0] if free else None


def answer_of(interrupt_id: str, value: Any, said: Mapping[str, Mapping[str, Any]]) -> Any:
    """The answer to a question, given the consents; `None` unless all of them are there.

    Args:
        interrupt_id: Of the question.
        value: What it asks.
        said: Id of a consent -> `approved`, and maybe `reason`.
    """
    wanted = approval_ids(interrupt_id, value)
    if not wanted or not all(each in said for each in wanted):
        return None
    if wanted == [interrupt_id]:
        return _plain(said[interrupt_id])
    return {"decisions": [_decision(said[each]) for each in wanted]}


def _plain(consent: Mapping[str, Any]) -> dict[str, Any]:
    reason = consent.get("reason")
    return {"approved": consent.get("approved") is True, **({"reason": reason} if isinstance(reason, str) else {})}


def _decision(consent: Mapping[str, Any]) -> dict[str, Any]:
    if consent.get("approved") is True:
        return {"type": "approve"}
    reason = consent.get("reason")
    return {"type": "reject", **({"message": reason} if isinstance(reason, str) and reason else {})}
