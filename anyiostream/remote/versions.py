"""What other versions have written to a store: servers are replaced one by one, and read each other's. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["known"]


def known(cls: type, kept: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of `cls` that were kept. A newer version may have kept more, without which it can do."""
    return {name: kept[name] for name in attrs.fields_dict(cls) if name in kept}
