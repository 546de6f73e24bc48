"""A chat in the terminal, with an assistant that uses tools.

`python -m examples.chat`, with `--backend trio` on trio. Ask for the time in a city, or to add numbers; an empty line
or the end of the input ends it.

Each question is one run; what the assistant says is shown word by word, and its tools beside it as they are called.
The conversation is the state: a run's output is the next one's input.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypedDict

import anyio
import anyio.to_thread

from anyiostream import GraphWriter, ToolCallTransformer, open_run

OFFSETS = {"London": 0, "Berlin": 1, "Tokyo": 9}
"""Hours that clocks are ahead of Greenwich, in winter."""

PACE = 0.005
"""How long the scripted model takes for a word, in s."""


class Turn(TypedDict):
    """One thing that was said."""

    who: str
    text: str


async def assistant(conversation: list[Turn], writer: GraphWriter) -> list[Turn]:
    """The graph: a model that asks for tools until it can answer."""
    await writer.values(conversation)
    question = conversation[-1]["text"]
    results: list[str] = []
    for name, given in wanted_tools(question):
        async with writer.message(node="model") as message:
            await message.tool_call(name, given, tool_call_id=f"{name}-{len(results)}")
        async with writer.tool_call(name, given, tool_call_id=f"{name}-{len(results)}") as call:
            call.output = TOOLS[name](**given)
            results.append(call.output)
    answer = " ".join(results) if results else f"I have no tool for {question!r}."
    async with writer.message(node="model") as message:
        for word in re.findall(r"\S+\s*", answer):
            await anyio.sleep(PACE)
            await message.text(word)
    return [*conversation, {"who": "assistant", "text": answer}]


def wanted_tools(question: str) -> list[tuple[str, dict[str, Any]]]:
    """Which tools the scripted model wants for a question."""
    calls: list[tuple[str, dict[str, Any]]] = [("clock", {"city": city}) for city in OFFSETS if city in question]
    numbers = [int(number) for number in re.findall(r"\d+", question)]
    return [*calls, ("add", {"numbers": numbers})] if len(numbers) > 1 else calls


def clock(city: str) -> str:
    """A tool: the time in a city when it is noon in Greenwich."""
    return f"It is {(12 + OFFSETS[city]) % 24} o'clock in {city}."


def add(numbers: Iterable[int]) -> str:
    """A tool: a sum."""
    return f"{' + '.join(map(str, numbers))} = {sum(numbers)}."


TOOLS: dict[str, Callable[..., str]] = {"clock": clock, "add": add}


async def chat() -> None:
    """Ask, answer, and ask again."""
    conversation: list[Turn] = []
    while question := await read_line("you: "):
        conversation.append({"who": "user", "text": question})
        conversation = await answer(conversation)


async def answer(conversation: list[Turn]) -> list[Turn]:
    """Run the assistant, and show what it says and does in the order in which it does."""
    async with open_run(assistant, conversation, transformers=[ToolCallTransformer]) as run:
        async for pair in run.interleave("messages", "tool_calls"):
            match pair:
                case "tool_calls", call:
                    print(f"  ({call.tool_name}: {await call})")
                case "messages", message:
                    async for word in message.text:
                        print(word, end="", flush=True)
                    if await message.text:
                        print()
        said: list[Turn] = await run.output()
    return said


async def read_line(prompt: str) -> str:
    """A line of the user's, or an empty one at the end. The event loop goes on meanwhile, and Ctrl-C ends the wait."""
    print(prompt, end="", flush=True)
    line: str = await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
    if not line.endswith("\n"):
        print()
    return line.strip()


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description="A chat with an assistant that uses tools.")
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio")
    anyio.run(chat, backend=parser.parse_args().backend)


if __name__ == "__main__":
    main()
