"""Which of LangGraph's transformers are replaced by ours: told by their class."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

import pytest
from langgraph import prebuilt, stream

from anyiostream import ToolCallTransformer, UpdatesTransformer
from anyiostream.sources.langgraph_transformers import COUNTERPARTS, adapt_transformers


@pytest.mark.parametrize("module", COUNTERPARTS)
def test_there_is_such_a_class_of_theirs(module: str) -> None:
    """Under the name of ours; where LangChain is not installed, nobody has an instance."""
    if module.startswith("langchain."):
        pytest.importorskip("langchain")
    theirs = importlib.import_module(module)
    for ours in COUNTERPARTS[module]:
        assert issubclass(getattr(theirs, ours.__name__), stream.StreamTransformer)
        assert adapt_transformers([getattr(theirs, ours.__name__)]) == [ours]


def test_a_factory_is_replaced_when_it_is_called() -> None:
    """It may build one of those that have a counterpart."""
    (made,) = adapt_transformers([partial(prebuilt.ToolCallTransformer)])
    assert isinstance(made(()), ToolCallTransformer)


def test_a_class_of_the_same_name_is_another_one() -> None:
    """Wherever it comes from, a subclass included: it runs as it is."""

    class Mine(stream.UpdatesTransformer):
        pass

    Mine.__name__ = "UpdatesTransformer"
    Mine.__module__ = "langgraph.stream"
    made: Any = adapt_transformers([Mine])[0](())
    assert not isinstance(made, UpdatesTransformer)
