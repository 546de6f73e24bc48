"""Addresses and telephone numbers are masked before anybody sees them: in messages, in state and in custom data.

`python -m examples.redaction`, with `--backend trio` or `--backend sync` on the other lanes.

`before_builtins` is what makes it safe: the transformer runs before the built-in ones, so that every projection, the
raw log, and whatever is built on them see what it has left. A model's text comes in pieces, and what is to be masked
may begin in one and end in another; so the piece after the last space is held back until it is known how it goes on.
The run's `output` is the graph's own last state, which no transformer sees: it is masked where the program shows it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import Any, ClassVar, final

import anyio

from anyiostream import CustomTransformer, GraphWriter, ProtocolEvent, StreamTransformer, open_run

PRIVATE = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|\+\d[\d-]{6,}\d")
"""An e-mail address, or an international telephone number written without spaces."""

MASK = "[redacted]"

PIECES = ("Write to ada.love", "lace@exam", "ple.org or call +44-20-79", "46-0000, ", "she is in.")
"""What the scripted model says, cut where a model might."""


@final
class Redaction(StreamTransformer):
    """Masks private data in all that passes."""

    before_builtins: ClassVar[bool] = True
    supports_sync: ClassVar[bool] = True

    def __init__(self, scope: tuple[str, ...] = ()) -> None:
        """Make the transformer."""
        super().__init__(scope)
        self._held: dict[Any, str] = {}

    def init(self) -> dict[str, Any]:
        """No projection."""
        return {}

    def process(self, event: ProtocolEvent) -> bool:
        """Mask what the event holds."""
        params = event["params"]
        if event["method"] == "messages":
            payload, metadata = params["data"]
            key = (tuple(params["namespace"]), metadata.get("run_id"), payload.get("index"))
            params["data"] = (self._message_event(key, payload), metadata)
        elif event["method"] != "tasks":  # which hold ids that the run keeps books with
            params["data"] = masked(params["data"])
        return True

    def _message_event(self, key: Any, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        delta = payload.get("delta")
        if isinstance(delta, Mapping) and isinstance(delta.get("text"), str):
            text = self._held.pop(key, "") + delta["text"]
            end = text.rfind(" ") + 1
            self._held[key] = text[end:]
            return {**payload, "delta": {**delta, "text": masked(text[:end])}}
        if payload.get("event") == "content-block-finish":
            # It has the whole text; what has been held back of it is shown now.
            self._held.pop(key, None)
        return {**payload, **{field: masked(value) for field, value in payload.items()}}


def masked(value: Any) -> Any:
    """A value with everything private in it masked."""
    if isinstance(value, str):
        return PRIVATE.sub(MASK, value)
    if isinstance(value, Mapping):
        return {key: masked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(masked(item) for item in value)
    return value


async def assistant(question: str, writer: GraphWriter) -> dict[str, str]:
    """The graph: it knows more than it should tell."""
    await writer.custom({"asked by": "bob@example.org", "question": question})
    async with writer.message() as message:
        for piece in PIECES:
            await message.text(piece)
    return {"answer": "".join(PIECES)}


TRANSFORMERS = (CustomTransformer, Redaction)


async def show(question: str) -> None:
    """Show what is left of it, on an event loop."""
    async with open_run(assistant, question, transformers=TRANSFORMERS) as run:
        async for name, item in run.interleave("custom", "messages"):
            if name == "custom":
                print("custom:", item)
                continue
            print("message: ", end="")
            async for piece in item.text:
                print(piece, end="", flush=True)
            print()
        print("state:", masked(await run.output()))


def show_inline(question: str) -> None:
    """The same without an event loop."""
    with open_run(assistant, question, transformers=TRANSFORMERS) as run:
        for name, item in run.interleave("custom", "messages"):
            if name == "custom":
                print("custom:", item)
                continue
            print("message: ", end="")
            for piece in item.text:
                print(piece, end="", flush=True)
            print()
        print("state:", masked(run.output))


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description="Private data is masked before anybody sees it.")
    parser.add_argument("--backend", choices=("asyncio", "trio", "sync"), default="asyncio")
    backend = parser.parse_args().backend
    question = "How do I reach Ada?"
    if backend == "sync":
        show_inline(question)
    else:
        anyio.run(show, question, backend=backend)


if __name__ == "__main__":
    main()
