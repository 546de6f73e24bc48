"""Chat models of providers' packages, asked of the local server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI

from .provider.server import ModelServer

__all__ = ["PROVIDERS", "anthropic", "chat", "responses"]


def chat(server: ModelServer, model: str = "model", **options: Any) -> BaseChatModel:
    """`ChatOpenAI` by chat completions."""
    return ChatOpenAI(model=model, base_url=f"{server.url}/v1", api_key="none", stream_usage=True, **options)


def responses(server: ModelServer, model: str = "model", **options: Any) -> BaseChatModel:
    """`ChatOpenAI` by Responses, with summaries of its reasoning."""
    return ChatOpenAI(
        model=model,
        base_url=f"{server.url}/v1",
        api_key="none",
        use_responses_api=True,
        **{"reasoning": {"summary": "auto"}, "output_version": "responses/v1", **options},
    )


def anthropic(server: ModelServer, model: str = "model", **options: Any) -> BaseChatModel:
    """`ChatAnthropic`, which may think."""
    thinking = {"type": "enabled", "budget_tokens": 1024}
    return ChatAnthropic(
        model=model, base_url=server.url, api_key="none", **{"max_tokens": 4096, "thinking": thinking, **options}
    )


PROVIDERS: Mapping[str, Callable[..., BaseChatModel]] = {
    "chat": chat,
    "responses": responses,
    "anthropic": anthropic,
}
