"""Commands that clients send, decoded and checked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias, final

import attrs

from anyiostream import Namespace
from anyiostream.remote.limits import Limits
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.subscriptions import Subscription, parse_namespace, parse_subscription

__all__ = [
    "SERVERS_OWN",
    "Answer",
    "Beginning",
    "Command",
    "GetState",
    "GetTree",
    "InputRespond",
    "RunStart",
    "Subscribe",
    "Unsubscribe",
    "command_id",
    "parse_command",
]


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_label(value: Any) -> bool:
    # What goes into logs and traces is one line there.
    return isinstance(value, str) and value.isprintable()


def _is_labels(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_label, value))


CONFIG_VALUES: Final = (
    ("configurable", _is_object, "an object"),
    ("metadata", _is_object, "an object"),
    ("tags", _is_labels, "a list of strings on one line"),
    ("recursion_limit", _is_count, "an integer of at least 1"),
    ("max_concurrency", _is_count, "an integer of at least 1"),
    ("run_name", _is_label, "a string on one line"),
)
"""What the keys hold: how to check it, and how to name it."""

ALLOWED_CONFIG: Final = frozenset(name for name, _, _ in CONFIG_VALUES)
"""Keys of a configuration that a caller may set. The others decide what the server does: callbacks, stream modes."""

REFUSED_CONFIGURABLE: Final = frozenset({"checkpoint_id", "checkpoint_ns", "checkpoint_map"})
"""Keys that address checkpoints, of this thread or of another one."""

REFUSED_PREFIXES: Final = ("_", "langgraph_auth")
"""What LangGraph keeps for itself, and what tells a graph whom it is called for."""

SERVERS_OWN: Final = frozenset({"thread_id", "run_id", "assistant_id", "graph_id"})
"""What only the server says. Clients send some of it, which is ignored."""

LARGEST_ID: Final = 2**53


@final
@attrs.frozen
class Beginning:
    """Where a run begins that does not go on from where its thread stands. One of the two is set.

    Attributes:
        message_id: Before that message was said, in the `messages` of the graph's state: it and what was said after it
            is replaced by the input.
        checkpoint_id: At that checkpoint of the outermost graph.
    """

    message_id: str | None = None
    checkpoint_id: str | None = None

    def dump(self) -> Any:
        """As plain JSON; that of a message is what servers of 0.1 know."""
        return self.message_id if self.checkpoint_id is None else {"checkpoint_id": self.checkpoint_id}

    @classmethod
    def load(cls, kept: Any) -> Beginning | None:
        """What `dump` has returned; `None` stays that."""
        if kept is None:
            return None
        return cls(**kept) if isinstance(kept, dict) else cls(message_id=kept)


@final
@attrs.frozen
class RunStart:
    """Start a run, or resume one that is interrupted.

    Attributes:
        assistant_id: Which graph.
        input: Its input; `None` for none.
        config: LangGraph's configuration, as far as callers may set it.
        metadata: Joined to the configuration's.
        beginning: Where it begins, if not where the thread stands. No client's command has it.
    """

    assistant_id: str
    input: Any
    config: Mapping[str, Any]
    metadata: Mapping[str, Any]
    beginning: Beginning | None = None


@final
@attrs.frozen
class Answer:
    """What the user says to one interrupt."""

    interrupt_id: str
    namespace: Namespace
    response: Any


@final
@attrs.frozen
class InputRespond:
    """Resume a run with answers.

    Attributes:
        answers: At least one, for different interrupts.
        update: What to change in the state as well, or `None`.
        goto: Where to go on, or `None`: a node, `{"node", "input"}`, or a list of these.
        config: As for `RunStart`.
        metadata: As for `RunStart`.
    """

    answers: tuple[Answer, ...]
    update: Any
    goto: Any
    config: Mapping[str, Any]
    metadata: Mapping[str, Any]

    @property
    def steers(self) -> frozenset[str]:
        """What it does besides answering: `update`, `goto`."""
        asked = {"update": self.update, "goto": self.goto}
        return frozenset(name for name, value in asked.items() if value is not None)


@final
@attrs.frozen
class Subscribe:
    """Send events over this WebSocket."""

    subscription: Subscription


@final
@attrs.frozen
class Unsubscribe:
    """Send no more events for a subscription."""

    subscription_id: str


@final
@attrs.frozen
class GetTree:
    """Tell which graphs a run consists of."""


@final
@attrs.frozen
class GetState:
    """Tell where the thread stands.

    Attributes:
        namespace: Of which graph; the root's is the only one that is known.
        keys: Of which values; `None` for all.
    """

    namespace: Namespace = ()
    keys: tuple[str, ...] | None = None


Command: TypeAlias = RunStart | InputRespond | Subscribe | Unsubscribe | GetTree | GetState
"""What a client wants done."""


def command_id(message: Any) -> int:
    """The id of the command in `message`.

    Raises:
        Refusal: It is not a command: it has no id, or no method. HTTP status 400.
    """
    if not isinstance(message, dict):
        raise Refusal("invalid_argument", "a command must be an object with `id`, `method` and `params`.", status=400)
    given = message.get("id")
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < LARGEST_ID:
        raise Refusal("invalid_argument", "a command's `id` must be an integer of at least 0.", status=400)
    if not isinstance(message.get("method"), str):
        raise Refusal("invalid_argument", "a command must have a `method`.", status=400)
    return given


def parse_command(message: Mapping[str, Any], limits: Limits) -> Command:
    """The command in `message`, whose `command_id` has been taken.

    Raises:
        Refusal: It is unknown, or malformed; HTTP status 200, since the envelope reports it.
    """
    method, params = message["method"], message.get("params")
    if params is None:
        params = {}
    if not isinstance(params, dict):
        raise _invalid("`params` must be an object.")
    if method == "run.start":
        return _run_start(params)
    if method == "input.respond":
        return _input_respond(params, limits)
    if method == "subscription.subscribe":
        return Subscribe(parse_subscription(params, limits))
    if method == "subscription.unsubscribe":
        return Unsubscribe(_text(params, "subscription_id"))
    if method == "agent.getTree":
        return GetTree()
    if method == "state.get":
        return _get_state(params, limits)
    raise Refusal("unknown_command", "there is no such command.")


def _run_start(params: Mapping[str, Any]) -> RunStart:
    return RunStart(
        _text(params, "assistant_id"),
        params.get("input"),
        allowed_config(params.get("config")),
        _allowed_metadata(_object(params, "metadata")),
    )


def _input_respond(params: Mapping[str, Any], limits: Limits) -> InputRespond:
    entries = params.get("responses")
    if entries is None:
        entries = [params]
    if not isinstance(entries, list) or not entries:
        raise _invalid("`responses` must be a list of at least one answer.")
    if len(entries) > limits.answers:
        raise _invalid(f"a command may answer at most {limits.answers} interrupts.")
    answers = tuple(_answer(entry, limits) for entry in entries)
    if len({answer.interrupt_id for answer in answers}) != len(answers):
        raise _invalid("an interrupt can be answered only once.")
    update = params.get("update")
    if update is not None and not isinstance(update, dict):
        raise _invalid("`update` must be an object.")
    goto = params.get("goto")
    if goto is not None and not all(_is_goal(each) for each in (goto if isinstance(goto, list) else [goto])):
        raise _invalid("`goto` must be a node, an object with `node`, or a list of these.")
    config, metadata = allowed_config(params.get("config")), _allowed_metadata(_object(params, "metadata"))
    return InputRespond(answers, update, goto, config, metadata)


def _get_state(params: Mapping[str, Any], limits: Limits) -> GetState:
    keys = params.get("keys")
    if keys is not None and not _is_strings(keys):
        raise _invalid("`keys` must be a list of strings.")
    namespace = parse_namespace(params.get("namespace", []), limits)
    return GetState(namespace, None if keys is None else tuple(keys))


def _is_goal(goal: Any) -> bool:
    return isinstance(goal, str) or (isinstance(goal, dict) and isinstance(goal.get("node"), str))


def _answer(entry: Any, limits: Limits) -> Answer:
    if not isinstance(entry, dict) or "response" not in entry:
        raise _invalid("an answer must be an object with `interrupt_id` and `response`.")
    namespace = parse_namespace(entry.get("namespace", []), limits)
    return Answer(_text(entry, "interrupt_id"), namespace, entry["response"])


def allowed_config(config: Any) -> Mapping[str, Any]:
    """The configuration that a caller has sent.

    Raises:
        Refusal: It sets what callers may not set.
    """
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise _invalid("`config` must be an object.")
    if config.keys() - ALLOWED_CONFIG:
        raise _invalid(f"a caller's `config` may have only {', '.join(sorted(ALLOWED_CONFIG))}.")
    for name, is_valid, wanted in CONFIG_VALUES:
        if name in config and not is_valid(config[name]):
            raise _invalid(f"`config.{name}` must be {wanted}.")
    for key in config.get("configurable", {}):
        if key in REFUSED_CONFIGURABLE or key.lower().startswith(REFUSED_PREFIXES):
            raise _invalid("a caller's `config.configurable` may not address a checkpoint, a user or internals.")
    allowed: dict[str, Any] = dict(config)
    if "configurable" in allowed:
        allowed["configurable"] = _without_servers_own(allowed["configurable"])
    if "metadata" in allowed:
        allowed["metadata"] = _allowed_metadata(allowed["metadata"])
    return allowed


def _allowed_metadata(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    # LangGraph joins `configurable` and `metadata` for whoever reads them.
    if any(key.lower().startswith(REFUSED_PREFIXES) for key in metadata):
        raise _invalid("a caller's `metadata` may not name a user or internals.")
    return _without_servers_own(metadata)


def _without_servers_own(given: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in given.items() if name not in SERVERS_OWN}


def _text(params: Mapping[str, Any], name: str) -> str:
    given = params.get(name)
    if not isinstance(given, str) or not given:
        raise _invalid(f"`{name}` must be a string.")
    return given


def _object(params: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    given = params.get(name)
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise _invalid(f"`{name}` must be an object.")
    return given


def _invalid(text: str) -> Refusal:
    return Refusal("invalid_argument", text)
