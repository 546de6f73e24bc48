"""Each message gets a moderation score, from a service that takes its time, while the run goes on.

`python -m examples.moderation`, with `--backend trio` on trio.

The transformer hands the slow part to `schedule()`: the message is shown at once, the score when it is there, and the
run ends only when every score is. A score that cannot be had is logged and spares the run; with `on_error="raise"` it
would fail it.
"""

from __future__ import annotations

import argparse
from typing import Any, ClassVar, TypedDict, final

import anyio

from anyiostream import GraphWriter, Namespace, ProtocolEvent, StreamChannel, StreamTransformer, open_run

ANSWERS = ("Certainly, with pleasure.", "What a stupid question!", "It depends on the weather.")
"""What the scripted model says."""

WORDS = {"stupid": 0.9, "depends": 0.1}
"""What the moderation service minds, and how much."""

PACE = 0.005
"""How long the service takes for a character, in s."""


class Score(TypedDict):
    """What is on `run.extensions["moderation"]`."""

    text: str
    score: float


@final
class Moderation(StreamTransformer):
    """Scores every message of its scope: `run.extensions["moderation"]`."""

    requires_async: ClassVar[bool] = True  # refused on the sync lane when the run is opened
    own_scope: ClassVar[bool] = True
    methods = ("messages",)
    required_stream_modes = ("messages",)

    def __init__(self, scope: Namespace = ()) -> None:
        """Make the transformer and its channel, whose name brings the scores into the raw log as well."""
        super().__init__(scope)
        self._channel: StreamChannel[Score] = StreamChannel("moderation")
        self._spoken: dict[Any, list[str]] = {}

    def init(self) -> dict[str, Any]:
        """One projection, `moderation`."""
        return {"moderation": self._channel}

    def process(self, event: ProtocolEvent) -> bool:
        """Gather the text of each message, and have it scored when it is whole."""
        payload, metadata = event["params"]["data"]
        call = metadata.get("run_id")
        match payload.get("event"):
            case "message-start":
                self._spoken[call] = []
            case "content-block-finish" if call in self._spoken:
                self._spoken[call].append(payload["content"].get("text", ""))
            case "message-finish" if call in self._spoken:
                self.schedule(self._score("".join(self._spoken.pop(call))), on_error="log")
            case _:
                pass
        return True

    async def _score(self, text: str) -> None:
        score = await ask_service(text)
        # Waits for room if nobody reads the scores as fast as they come.
        await self._channel.send({"text": text, "score": score})


async def ask_service(text: str) -> float:
    """The moderation service: 0 for fine, 1 for the worst."""
    await anyio.sleep(PACE * len(text))
    return max((badness for word, badness in WORDS.items() if word in text), default=0.0)


async def talk(answers: tuple[str, ...], writer: GraphWriter) -> dict[str, int]:
    """The graph: a few messages, one after the other."""
    for answer in answers:
        async with writer.message() as message:
            await message.text(answer)
    return {"messages": len(answers)}


async def show() -> None:
    """Show messages and scores as they come, side by side."""
    async with open_run(talk, ANSWERS, transformers=[Moderation]) as run, anyio.create_task_group() as readers:
        readers.start_soon(show_messages, aiter(run.messages))
        readers.start_soon(show_scores, aiter(run.extensions["moderation"]))


async def show_messages(messages: Any) -> None:
    """Show what is said."""
    async for message in messages:
        print("message:", await message.text)


async def show_scores(scores: Any) -> None:
    """Show what the service says of it."""
    async for score in scores:
        verdict = "BLOCK" if score["score"] > 0.5 else "ok"  # noqa: PLR2004 -- the middle
        print(f"{verdict:5} {score['score']:.1f}: {score['text']}")


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description="Each message gets a moderation score while the run goes on.")
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio")
    anyio.run(show, backend=parser.parse_args().backend)


if __name__ == "__main__":
    main()
