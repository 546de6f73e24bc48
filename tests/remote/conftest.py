"""The modes in which the tests of one server run, which is by itself and has its threads in memory otherwise.

With `ANYIOSTREAM_SERVERS=2` there are two of each over one store in Valkey, behind a proxy that goes round them. With
`ANYIOSTREAM_TEST_STORE=sqlite`, or `redis`, there is one, over such a store. What is not so then is skipped: see
`alone.py`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from .alone import NOT_OF_A_SHARED_STORE, NOT_OF_A_STORE, NOT_OF_SEVERAL
from .doubled import double, keep_in

SERVED: Final = Path(__file__).parent / "servers"
SEVERAL: Final = os.environ.get("ANYIOSTREAM_SERVERS") == "2"
STORE: Final = os.environ.get("ANYIOSTREAM_TEST_STORE", "")

if SEVERAL:
    double()
elif STORE:
    keep_in(STORE)


UNLIKE: Final = NOT_OF_SEVERAL if SEVERAL else {"sqlite": NOT_OF_A_STORE, "redis": NOT_OF_A_SHARED_STORE}.get(STORE, {})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is not so in the mode of this run, and say why."""
    for item in items:
        reason = UNLIKE.get(f"{item.path.name}::{getattr(item, 'originalname', item.name)}")
        if reason and item.path.parent == SERVED:
            item.add_marker(pytest.mark.skip(reason=reason))
