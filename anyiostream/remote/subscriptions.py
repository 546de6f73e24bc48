"""Which events a viewer has asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, final

import attrs

from anyiostream import Namespace
from anyiostream.remote.limits import Limits
from anyiostream.remote.refusals import Refusal

__all__ = ["CHANNELS", "WATCHED", "Selection", "Subscription", "parse_namespace", "parse_subscription"]

CHANNELS: Final = frozenset(
    {"values", "updates", "messages", "tools", "lifecycle", "input", "checkpoints", "tasks", "custom"}
)
"""The channels that have a fixed name; besides, there is `custom:<name>` for every name."""

WATCHED: Final = frozenset({"lifecycle", "input"})
"""What the official clients' watchers ask for; they look only for a run's end and its interrupts."""

LONGEST_NAME: Final = 200
"""Characters of a channel's name, and of a segment of a namespace."""

LARGEST: Final = 2**63 - 1
"""A place that no log has, and a depth that no graph has. Greater ones mean the same, and may be too long to show."""


@final
@attrs.frozen(cache_hash=True)
class Selection:
    """Which events are wanted.

    Attributes:
        channels: Names of channels; `custom` takes every `custom:<name>` too.
        namespaces: Prefixes of namespaces; empty for everything.
        depth: Levels below a prefix that are taken; `None` for all. Ignored without prefixes.
    """

    channels: frozenset[str]
    namespaces: tuple[Namespace, ...] = ()
    depth: int | None = None

    def matches(self, channel: str, namespace: Namespace) -> bool:
        """Whether an event of this channel and namespace is wanted."""
        if channel not in self.channels and not ("custom" in self.channels and channel.startswith("custom:")):
            return False
        if not self.namespaces:
            return True
        return any(_is_below(namespace, prefix, self.depth) for prefix in self.namespaces)


@final
@attrs.frozen
class Subscription:
    """What one viewer wants, and from where on.

    Attributes:
        selection: The events that are wanted, wherever it begins.
        since: The `seq` of the last event the viewer has, or `None` for the current turn from its start.
    """

    selection: Selection
    since: int | None = None

    @property
    def is_watcher(self) -> bool:
        """Whether it is what a client's watcher asks for when it begins."""
        return self.selection.channels == WATCHED and self.since is None

    def resumed(self, since: int) -> Subscription:
        """The same, from where the viewer was."""
        return attrs.evolve(self, since=since)


def _is_below(namespace: Namespace, prefix: Namespace, depth: int | None) -> bool:
    below = len(namespace) - len(prefix)
    if below < 0 or (depth is not None and below > depth):
        return False
    return all(
        segment == wanted or (":" not in wanted and segment.partition(":")[0] == wanted)
        for segment, wanted in zip(namespace, prefix, strict=False)
    )


def parse_subscription(params: Any, limits: Limits) -> Subscription:
    """The subscription that a client has described.

    Raises:
        Refusal: It is malformed, or asks for an unknown channel or for too much; HTTP status 400.
    """
    if not isinstance(params, dict):
        raise _invalid("a subscription must be an object with `channels`.")
    selection = Selection(
        channels=_channels(params.get("channels"), limits),
        namespaces=_namespaces(params.get("namespaces"), limits),
        depth=_number(params, "depth"),
    )
    return Subscription(selection, since=_number(params, "since"))


def _channels(given: Any, limits: Limits) -> frozenset[str]:
    if not isinstance(given, list) or not given:
        raise _invalid("`channels` must be a list of at least one channel.")
    if len(given) > limits.channels:
        raise _invalid(f"a subscription may have at most {limits.channels} channels.")
    for channel in given:
        if not isinstance(channel, str) or len(channel) > LONGEST_NAME:
            raise _invalid("a channel must be a string, and not a long one.")
        if channel not in CHANNELS and not (channel.startswith("custom:") and channel != "custom:"):
            known = ", ".join(sorted(CHANNELS))
            raise _invalid(f"there is no channel {channel!r}; there are {known}, and custom:<name>.")
    return frozenset(given)


def _namespaces(given: Any, limits: Limits) -> tuple[Namespace, ...]:
    if given is None:
        return ()
    if not isinstance(given, list):
        raise _invalid("`namespaces` must be a list of namespaces.")
    if len(given) > limits.namespaces:
        raise _invalid(f"a subscription may have at most {limits.namespaces} namespaces.")
    return tuple(parse_namespace(each, limits) for each in given)


def parse_namespace(given: Any, limits: Limits) -> Namespace:
    """The namespace that a client has sent.

    Raises:
        Refusal: It is not a list of strings, or is too long.
    """
    if not isinstance(given, list) or not _strings(given):
        raise _invalid("a namespace must be a list of strings.")
    if len(given) > limits.namespaces or any(len(each) > LONGEST_NAME for each in given):
        raise _invalid(f"a namespace may have at most {limits.namespaces} segments of {LONGEST_NAME} characters.")
    return tuple(given)


def _strings(given: Iterable[Any]) -> bool:
    return all(isinstance(each, str) for each in given)


def _number(params: Mapping[str, Any], name: str) -> int | None:
    given = params.get(name)
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise _invalid(f"`{name}` must be an integer of at least 0.")
    return min(given, LARGEST)


def _invalid(text: str) -> Refusal:
    return Refusal("invalid_argument", text, status=400)
