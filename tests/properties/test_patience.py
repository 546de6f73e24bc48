"""How long the examples of a test may take."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=1)
@given(st.none())
def test_an_example_may_be_slow(example: None) -> None:
    """On a machine that does something else, any of them is."""
    time.sleep(0.25)
    assert example is None
