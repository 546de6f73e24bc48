"""How thorough tests are that try random examples: `ANYIOSTREAM_THOROUGH=40` has each try forty times as many."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["THOROUGH"]

THOROUGH: Final = int(os.environ.get("ANYIOSTREAM_THOROUGH", "1"))
