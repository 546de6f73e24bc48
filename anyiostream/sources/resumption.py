"""`Resumption`: how a function graph, or another framework's agent, goes on after it has asked its user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import attrs

__all__ = ["Resumption"]


@final
@attrs.frozen
class Resumption:
    """The input of a function graph that goes on after an interrupt.

    A server makes it from its client's answers; a program may make it itself:

    ```python
    from anyiostream import Resumption, open_run


    async def order(given, writer):
        if not isinstance(given, Resumption):
            await writer.values({"item": given})
            await writer.interrupt("Really?", interrupt_id="sure")
        return {**given.values, "answer": given.answer}


    with open_run(order, "a piano") as run:
        assert run.interrupted
        asked, state = run.interrupts, run.output
    with open_run(order, Resumption({asked[0].id: "yes"}, state)) as run:
        assert run.output == {"item": "a piano", "answer": "yes"}
    ```

    Attributes:
        answers: Interrupt's id -> what the user said.
        values: The last snapshot of the interrupted run.
        config: The configuration that the client sent along.
    """

    answers: Mapping[str, Any]
    values: Any = None
    config: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def answer(self) -> Any:
        """What the user said, if there was one interrupt.

        Raises:
            ValueError: There was more than one.
        """
        (answer,) = self.answers.values()
        return answer
