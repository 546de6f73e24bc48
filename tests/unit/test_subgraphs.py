"""What a subgraph is, and the payloads that report it."""

from __future__ import annotations

from typing import Any

import pytest

from anyiostream import parts
from anyiostream.subgraphs import Subgraph, outcome_of_result


@pytest.mark.parametrize(
    ("facts", "status", "error"),
    [
        ({}, "completed", None),
        ({"error": "no"}, "failed", "no"),
        ({"interrupts": ["wait"]}, "interrupted", None),
        ({"interrupts": ["wait"], "error": "no"}, "interrupted", None),
    ],
)
def test_a_result_tells_how_it_ended(facts: dict[str, Any], status: str, error: str | None) -> None:
    """An interrupt counts before an error, and an error has its text."""
    outcome = outcome_of_result(parts.task_result("1", "node", **facts)["data"])
    assert (outcome.status, outcome.message) == (status, error)


def test_an_error_object_becomes_its_text() -> None:
    """A payload may carry an exception; the outcome carries its text."""
    assert outcome_of_result({"error": ValueError("no")}).message == "no"


# --- payloads ---


def test_the_payload_of_a_start_has_what_is_known() -> None:
    """Keys whose value is not known are left out."""
    full = Subgraph(("a:1",), "agent", "1", {"type": "toolCall", "tool_call_id": "c"})
    assert full.start_payload() == {
        "event": "started",
        "namespace": ["a:1"],
        "graph_name": "agent",
        "trigger_call_id": "1",
        "cause": {"type": "toolCall", "tool_call_id": "c"},
    }
    assert Subgraph(("a",), None, None, None).start_payload() == {"event": "started", "namespace": ["a"]}


def test_the_payload_of_an_end_has_an_error_only_if_there_is_one() -> None:
    """A failed subgraph's payload carries its text."""
    subgraph = Subgraph(("a:1",), "a", "1", None)
    assert subgraph.end_payload(outcome_of_result({})) == {"event": "completed", "namespace": ["a:1"]}
    assert subgraph.end_payload(outcome_of_result({"error": "no"})) == {
        "event": "failed",
        "namespace": ["a:1"],
        "error": "no",
    }
