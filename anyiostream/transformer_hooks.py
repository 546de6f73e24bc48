"""`Hooks`: which hooks a transformer's class defines itself, and whether it needs an event loop for them."""

from __future__ import annotations

import inspect
from typing import final
from weakref import WeakKeyDictionary

import attrs

from anyiostream.transformer import StreamTransformer

__all__ = ["Hooks", "hooks_of", "reason_for_async"]

HOOKS = ("process", "aprocess", "finalize", "afinalize", "fail", "afail", "on_register", "subgraph_observer")
AWAITED = {"aprocess", "afinalize", "afail"}
ENDING = ("finalize", "fail")


@final
@attrs.frozen(eq=False)
class Hooks:
    """Which hooks a transformer's class defines itself.

    Looked up once per class: a mux is made for each subgraph.

    Attributes:
        overridden: Their names.
        awaited: Those of them that are awaited on the async lane.
        ends_async: Whether its end may have to be awaited there.
        ends: Whether there is a hook to be called at its end.
    """

    overridden: frozenset[str]
    awaited: frozenset[str]
    ends_async: bool
    ends: bool

    def ending(self, hook: str, *, is_async: bool) -> str | None:
        """`hook`, or its async variant if that is overridden; `None` if neither is."""
        if is_async and "a" + hook in self.awaited:
            return "a" + hook
        return hook if hook in self.overridden else None


_hooks: WeakKeyDictionary[type[StreamTransformer], Hooks] = WeakKeyDictionary()


def hooks_of(kind: type[StreamTransformer]) -> Hooks:
    """The hooks of a transformer's class."""
    hooks = _hooks.get(kind)
    if hooks is None:
        overridden = frozenset(hook for hook in HOOKS if getattr(kind, hook) is not getattr(StreamTransformer, hook))
        awaited = overridden & AWAITED
        ends_async = bool(awaited) or any(inspect.iscoroutinefunction(getattr(kind, hook)) for hook in ENDING)
        ends = not overridden.isdisjoint({*ENDING, *("a" + hook for hook in ENDING)})
        hooks = _hooks[kind] = Hooks(overridden, awaited, ends_async, ends)
    return hooks


def reason_for_async(transformer: StreamTransformer) -> str | None:
    """Why the transformer cannot run on the sync lane, or `None` if it can."""
    if transformer.requires_async:
        return "it sets requires_async = True"
    awaited = hooks_of(type(transformer)).awaited
    if transformer.supports_sync or not awaited:
        return None
    return f"it overrides {' and '.join(hook for hook in HOOKS if hook in awaited)}"
