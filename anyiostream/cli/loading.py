"""`load`: the object that `module:attribute` names."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from anyiostream.errors import AnyioStreamError

__all__ = ["CannotLoad", "load"]


class CannotLoad(AnyioStreamError, ImportError):
    """What the command line names is not there."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(
            f"cannot load {name!r}: {problem}. Name it as `module:attribute`, or `package.module:object.attribute`."
        )


def load(name: str) -> Any:
    """The object that `name`, `module:attribute`, stands for; modules of the working directory are found.

    Raises:
        CannotLoad: There is no such module or attribute.
        BaseException: What importing the module raises otherwise.
    """
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        raise CannotLoad(name, "a module and an attribute are needed")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{module_name}.".startswith(f"{exc.name}."):
            raise
        raise CannotLoad(name, f"there is no module {exc.name!r}") from None
    for attribute in path.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise CannotLoad(name, f"it has no attribute {attribute!r}") from None
    return found
