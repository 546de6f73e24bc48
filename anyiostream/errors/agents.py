"""Agents of other frameworks: what they are given."""

from __future__ import annotations

from collections.abc import Iterable

from anyiostream.errors.root import AnyioStreamError

__all__ = ["AgentAnswerInvalid", "AgentInputInvalid"]


class AgentInputInvalid(AnyioStreamError, ValueError):
    """The agent of another framework cannot be run with this input.

    ```python
    from anyiostream.errors import AgentInputInvalid
    from anyiostream.sources.agents import AgentInput

    try:
        AgentInput.of({"question": "Where is Bergen?"})
    except AgentInputInvalid as exc:
        print(exc)  # an agent cannot be run with the key 'question'. ...
    ```
    """

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"an agent cannot be run with {problem}. Pass a prompt, a mapping of `prompt` and of the `messages` of "
            "an earlier run's output, or a `Resumption` with that run's output as its values."
        )


class AgentAnswerInvalid(AnyioStreamError, ValueError):
    """What a user has answered does not fit what the agent has asked.

    ```python
    from anyiostream.errors import AgentAnswerInvalid
    from anyiostream.sources.agents import Approval

    try:
        Approval.of("call-1", "perhaps")
    except AgentAnswerInvalid as exc:
        print(exc)  # ... Approve or refuse the call with true or false, ...
    ```

    Attributes:
        interrupt_id: The interrupt that was to be answered.
    """

    def __init__(self, interrupt_id: str, problem: str) -> None:
        super().__init__(f"interrupt {interrupt_id!r} cannot be answered like that: {problem}")
        self.interrupt_id = interrupt_id

    @classmethod
    def unknown(cls, interrupt_id: str, asked: Iterable[str]) -> AgentAnswerInvalid:
        """The agent has not asked it."""
        names = ", ".join(map(repr, asked)) or "none"
        return cls(interrupt_id, f"it is not pending. Answer one that is: {names}.")

    @classmethod
    def no_approval(cls, interrupt_id: str, answer: object) -> AgentAnswerInvalid:
        """It is neither yes nor no."""
        return cls(
            interrupt_id,
            f"got {answer!r}. Approve or refuse the call with true or false, or with "
            "{'approved': bool, 'message': str}, of which the message goes to the model.",
        )
