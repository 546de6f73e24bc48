"""What an inbox keeps of a command is what was accepted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyiostream.remote import Assistant, Limits
from anyiostream.remote.commands import InputRespond, RunStart, parse_command
from anyiostream.remote.decoding import decode
from anyiostream.remote.fold import Fold
from anyiostream.remote.jobs import Job, decoded_job, encoded_command
from anyiostream.remote.store import Stored
from anyiostream.wire.jsonable import encode, kept, shown

from ..thorough import THOROUGH

LOW = "\udfff"
"""Half a character. (Linters take all halves for one where they are keys.)"""

TEXTS = st.text(st.characters(exclude_categories=[]) | st.sampled_from("\ud83d\ude00\udfff\\u\x85\u2028"), max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS.map("x{}".format), VALUES, max_size=3)
"""With no key that clients may not set, such as those that begin with `_`."""


def accepted(method: str, params: Any) -> Any:
    """The command that a client sends."""
    raw = json.dumps({"id": 1, "method": method, "params": params}).encode()
    return parse_command(decode(raw, most=10**6, depth=64), Limits())


def taken_up(command: Any) -> Job:
    """Its job, as another server reads it from the inbox."""
    body = encoded_command(Job("a", Assistant(graph=None), command))
    return decoded_job(Stored(place=1, run_id="r", body=body), {})


@settings(max_examples=50 * THOROUGH, deadline=None)
@given(VALUES, OBJECTS, OBJECTS)
def test_an_input_is_kept_as_it_is(given: Any, configurable: Any, metadata: Any) -> None:
    """Any JSON, with its configuration and metadata."""
    config = {"configurable": configurable, "metadata": metadata}
    params = {"assistant_id": "a", "input": given, "config": config, "metadata": metadata}
    command = accepted("run.start", params)
    assert isinstance(command, RunStart)
    job = taken_up(command)
    assert job.command == command
    assert repr(job.command) == repr(command)  # 1 is no 1.0, and no True
    assert job.config == Job("a", None, command).config


@settings(max_examples=50 * THOROUGH, deadline=None)
@given(VALUES)
def test_an_answer_is_kept_as_it_is(response: Any) -> None:
    """Any JSON."""
    command = accepted("input.respond", {"namespace": ["\ud800"], "interrupt_id": "i\udfff", "response": response})
    assert isinstance(command, InputRespond)
    job = taken_up(command)
    assert repr(job.command) == repr(command)


def test_halves_of_characters_are_kept() -> None:
    """Those of keys and of values, each for itself."""
    command = accepted("run.start", {"assistant_id": "a", "input": {"\ud800": "\ud83d", LOW: 1}})
    assert taken_up(command).command.input == {"\ud800": "\ud83d", LOW: 1}  # type: ignore[union-attr]


@pytest.mark.parametrize("values", [{"\ud800": "\ud83d", LOW: 1}, {"\\ud800": 1}, {"é": "\x85"}, None])
@pytest.mark.parametrize("encoded", [False, True])
def test_a_function_goes_on_with_its_values(values: Any, encoded: bool) -> None:
    """After a restart, too; who asks for the state is shown text that every reader takes."""
    fold = Fold()
    fold.snapshot.values = values
    body = kept(values) if encoded else None
    assert Fold.load(fold.dump(body)).snapshot.values == values
    assert b'{"values":%b,' % encode(values) in b"".join(fold.encoded_state(body, running=False))


@given(VALUES)
def test_what_was_kept_is_shown_as_ever(value: Any) -> None:
    """As if it had never been kept."""
    assert shown(kept(json.loads(json.dumps(value)))) == encode(json.loads(json.dumps(value)))
