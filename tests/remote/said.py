"""What a log says of its runs."""

from __future__ import annotations

from typing import Any

__all__ = ["ends", "restarts"]


def ends(events: list[Any]) -> list[Any]:
    """What the log says of runs."""
    return [
        (event["params"]["data"]["event"], event["params"]["data"]["run_id"])
        for event in events
        if event["method"] == "lifecycle" and not event["params"]["namespace"]
    ]


def restarts(events: list[Any]) -> list[Any]:
    """What the log says of runs that go on."""
    customs = [event["params"]["data"] for event in events if event["method"] == "custom"]
    return [each["payload"] for each in customs if each.get("name") == "run.restarted"]
