"""Transformers: what they are made of, and what they may do when."""

from __future__ import annotations

from anyiostream.errors.root import ProgrammingError

__all__ = [
    "AsyncTransformerRefused",
    "ChildrenRefused",
    "EmitterMisused",
    "InvalidHook",
    "InvalidProjection",
    "NotATransformer",
    "PrebuiltTransformer",
    "ProjectionConflict",
    "ScheduleRefused",
]


class InvalidProjection(ProgrammingError, TypeError):
    """A transformer's `init()` returned something other than a dict."""

    def __init__(self, transformer: str, got: str) -> None:
        super().__init__(
            f"{transformer}.init() must return a dict of projection name -> channel or value, but returned {got}. "
            "Return {} for a transformer without projections."
        )


class ProjectionConflict(ProgrammingError, ValueError):
    """Two transformers claim one projection name."""

    def __init__(self, transformer: str, owners: dict[str, str]) -> None:
        claims = ", ".join(f"{key!r} (owned by {owner})" for key, owner in sorted(owners.items()))
        super().__init__(
            f"{transformer} returned projection keys that conflict with already-registered keys: {claims}. "
            "Rename the key in init()."
        )


class PrebuiltTransformer(ProgrammingError, TypeError):
    """A transformer instance was passed where a class or factory is needed."""

    def __init__(self, transformer: str, *, callable_wanted: bool = False) -> None:
        what = f"{transformer} is not callable" if callable_wanted else f"got a pre-built instance of {transformer}"
        super().__init__(
            f"transformers must be scope-aware callables, but {what}. Each subgraph gets its own instance: "
            "pass the class, or a factory like `lambda scope: MyTransformer(scope, ...)`."
        )


class NotATransformer(ProgrammingError, TypeError):
    """Something other than transformer classes or factories was passed as `transformers`."""

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(
            f"{what} {problem}. `transformers` is a list of classes derived from anyiostream.StreamTransformer, or of "
            "factories like `lambda scope: MyTransformer(scope, ...)`."
        )


class ChildrenRefused(ProgrammingError, RuntimeError):
    """A mux built from instances was asked for a child."""

    def __init__(self) -> None:
        super().__init__(
            "this StreamMux was constructed with `transformers=`, whose instances cannot be cloned to a subgraph's "
            "scope. Construct it with `factories=`."
        )


class AsyncTransformerRefused(ProgrammingError, RuntimeError):
    """A transformer that needs an event loop was registered on the sync lane."""

    def __init__(self, transformer: str, reason: str) -> None:
        super().__init__(
            f"{transformer} requires an async run: {reason}. Open the run with `async with open_run(...)`, or set "
            "supports_sync = True if the plain hooks do the same work."
        )


class InvalidHook(ProgrammingError, TypeError):
    """A hook is async where it must be sync (or the reverse), or is missing, or a list of names is a string."""

    def __init__(self, hook: str, problem: str) -> None:
        super().__init__(f"{hook} {problem}")


class ScheduleRefused(ProgrammingError, RuntimeError):
    """`schedule()` was called where nothing can run the coroutine."""

    def __init__(self, transformer: str, why: str) -> None:
        super().__init__(
            f"{transformer}.schedule() requires a running event loop: {why}. Open the run with "
            "`async with open_run(...)`, and set requires_async = True on the class so that this is refused when the "
            "transformer is registered."
        )


class EmitterMisused(ProgrammingError, RuntimeError):
    """An emitter was used outside its transformer's `process`."""

    def __init__(self, transformer: str) -> None:
        super().__init__(
            f"the emitter of {transformer} was used outside process() and aprocess(). Events may be synthesised only "
            "while the transformer handles one; elsewhere push to a named channel instead."
        )
