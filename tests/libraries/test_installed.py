"""Whether this folder's tests can run."""

from __future__ import annotations

import os

import pytest

from .conftest import MISSING


def test_installed() -> None:
    """In their session the libraries are there; elsewhere this tells where to find it."""
    if MISSING and not os.environ.get("ANYIOSTREAM_LIBRARIES"):
        pytest.skip(f"not installed: {', '.join(MISSING)}; `nox -s tests-libraries` runs this folder's tests")
    assert not MISSING
