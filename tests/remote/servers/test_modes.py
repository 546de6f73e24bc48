"""The list of what does not hold in other modes."""

from __future__ import annotations

from pathlib import Path

from ..alone import NOT_OF_SEVERAL


def test_what_is_skipped_is_there() -> None:
    """A test that is renamed is not skipped, nor forgotten in the list."""
    for name in NOT_OF_SEVERAL:
        module, _, test = name.partition("::")
        assert f"def {test}(" in Path(__file__).with_name(module).read_text(encoding="utf-8"), name
