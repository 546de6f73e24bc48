"""Each test runs in every lab of the conformance suite that its defect concerns: both libraries, lanes and loops."""

from __future__ import annotations

from ..conformance.conftest import lab, pytest_pyfunc_call

__all__ = ["lab", "pytest_pyfunc_call"]
