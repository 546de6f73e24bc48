"""What arguments name."""

from __future__ import annotations

import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from anyiostream.cli.loading import BrokenModule, UsageError, load_graph, load_json, load_object, load_transformer

HERE = Path(__file__).parent


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a module that can be imported."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    known = set(sys.modules)

    def write(name: str, code: str) -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(code, encoding="utf-8")
        return path

    yield write
    for name in set(sys.modules) - known:
        del sys.modules[name]


def refused(target: str) -> str:
    """What is said of a graph that is refused."""
    with pytest.raises(UsageError) as caught:
        load_graph(target)
    return str(caught.value)


def test_a_module_and_a_file(module: Any) -> None:
    """The same attribute by either way; it may be dotted."""
    path = module("stored_graphs", "class Box:\n    graph = [1]\ngraph = [2]\n")
    assert load_object("stored_graphs:graph") == [2]
    assert load_object("stored_graphs:Box.graph") == [1]
    assert load_object(f"{path}:graph") == [2]


def test_a_file_finds_its_neighbours(module: Any) -> None:
    """As it would if Python ran it."""
    module("neighbour_of_graphs", "graph = [3]\n")
    path = module("importing_graphs", "from neighbour_of_graphs import graph\n")
    assert load_object(f"{path}:graph") == [3]


@pytest.mark.parametrize("name", ["json", "two words"])
def test_a_files_name_is_no_obstacle(module: Any, name: str) -> None:
    """Neither if a module of that name is there already, nor if it is no name at all."""
    path = module(name, "graph = [4]\n")
    assert load_object(f"{path}:graph") == [4]
    assert "dumps" in vars(sys.modules["json"])


def test_what_is_not_there(module: Any) -> None:
    """The missing part is named, with suggestions."""
    module("named_graphs", "import os\nweather = [1]\n_hidden = 2\n")
    assert "no module 'absent_graphs'" in refused("absent_graphs:graph")
    assert "no module 'absent_graphs'" in refused("absent_graphs.inner:graph")
    assert "named_graphs has no attribute 'weahter'; did you mean 'weather'?" in refused("named_graphs:weahter")
    assert refused("named_graphs:zzz").endswith("it has weather")
    assert "there is no file" in refused("absent/graphs.py:graph")
    for target in ("named_graphs", ":graph", "named_graphs:", ""):
        assert "write module:attribute" in refused(target)
    assert "not the name of a module" in refused(".relative:graph")


def test_a_modules_own_errors_are_not_hidden(module: Any) -> None:
    """An import that fails inside the module is its own error, and so is what it raises."""
    module("importing_absent", "import absent_dependency\n")
    with pytest.raises(BrokenModule, match="absent_dependency"):
        load_object("importing_absent:graph")
    path = module("raising_graphs", "raise ZeroDivisionError\n")
    with pytest.raises(BrokenModule) as caught:
        load_object(f"{path}:graph")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert f'File "{path}", line 1' in str(caught.value)
    assert "importlib" not in str(caught.value)
    assert "anyiostream/cli" not in str(caught.value)
    assert "raising_graphs" not in sys.modules


@pytest.mark.parametrize(
    "code",
    [
        "async def graph(input, writer): ...",
        "def graph(input):\n    yield",
        "async def graph(input):\n    yield",
        "graph = []",
        "class Graph:\n    async def __call__(self, input, writer): ...\ngraph = Graph()",
        "class Parts:\n    async def __aiter__(self):\n        yield\ngraph = Parts()",
        "import functools\nasync def with_model(model, input, writer): ...\ngraph = functools.partial(with_model, 1)",
    ],
)
def test_graphs_are_taken_as_they_are(module: Any, code: str) -> None:
    """Functions with a writer, generator functions, iterables, objects that are called like them."""
    module("graph_kinds", code)
    assert load_graph("graph_kinds:graph") is sys.modules["graph_kinds"].graph


@pytest.mark.parametrize(
    "code",
    ["def graph(): return [5]", "def graph(config): return config['parts']", "def graph(*, model=None): return [5]"],
)
def test_builders_are_called(module: Any, code: str) -> None:
    """With nothing, or with the configuration as `config`."""
    module("graph_builders", code)
    assert load_graph("graph_builders:graph", {"parts": [5]}) == [5]


def test_langgraph_graphs() -> None:
    """A compiled one is taken, a builder of one called."""
    assert load_graph(f"{HERE / 'graphs.py'}:compiled") is not None
    assert type(load_graph(f"{HERE / 'graphs.py'}:build")).__name__ == "CompiledStateGraph"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("graph = 'text'", "it is of type str"),
        ("graph = {}", "it is of type dict"),
        ("async def graph(): ...", "is called as `graph(input, writer)`"),
        ("def graph(a, b):\n    yield", "is called as `graph(input)`"),
        ("def graph(a, b): ...", "it takes (a, b) and is not asynchronous"),
        ("def graph(): return 1", "builds a int, which is not a graph"),
        ("from langchain_core.messages import AIMessage\ngraph = AIMessage('')", "it is of type AIMessage"),
        ("from langgraph.graph import StateGraph\ngraph = StateGraph(dict)", "has not been compiled"),
    ],
)
def test_what_is_no_graph(module: Any, code: str, said: str) -> None:
    """The message says what it is, and what a graph is."""
    module("no_graphs", code)
    assert said in refused("no_graphs:graph")


def test_transformers(module: Any) -> None:
    """A class or factory is taken, an instance is not."""
    module("transformers_at_hand", "from anyiostream import CustomTransformer\nmade = CustomTransformer()\n")
    assert load_transformer("transformers_at_hand:CustomTransformer").__name__ == "CustomTransformer"
    with pytest.raises(UsageError, match="name a transformer class or a factory"):
        load_transformer("transformers_at_hand:made")


def test_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the argument, a file or standard input; errors name the place."""
    assert load_json(None, "--input") is None
    assert load_json('{"a": [1]}', "--input") == {"a": [1]}
    path = tmp_path / "given.json"
    path.write_text('"é"', encoding="utf-8")
    assert load_json(f"@{path}", "--input") == "é"
    path.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not UTF-8"):
        load_json(f"@{path}", "--input")
    with pytest.raises(UsageError, match="cannot read"):
        load_json(f"@{path}.not", "--input")
    monkeypatch.setattr("sys.stdin", path.open(encoding="latin-1"))
    with pytest.raises(UsageError, match="standard input is not JSON"):
        load_json("-", "--input")
    sys.stdin.close()


def test_a_module_is_imported_before_there_is_an_event_loop(module: Any) -> None:
    """What needs one, as asynchronous checkpointers do, is made elsewhere; the error says where."""
    module("eager_graphs", "import asyncio\nasyncio.get_running_loop()\n")
    with pytest.raises(BrokenModule, match=r"(?s)RuntimeError: no running event loop\n.*docs/stores\.md"):
        load_graph("eager_graphs:graph")
    module("other_graphs", "raise RuntimeError('out of luck')\n")
    with pytest.raises(BrokenModule, match=r"out of luck$"):
        load_graph("other_graphs:graph")


def test_a_builders_context_manager_is_opened_only_where_it_may_be(module: Any) -> None:
    """The graph is in it."""
    code = "import contextlib\n@contextlib.asynccontextmanager\nasync def graph():\n    yield []\n"
    module("managed_graphs", code)
    with pytest.raises(UsageError, match=r"builds a \w+, which is not a graph: .* only `serve` enters one"):
        load_graph("managed_graphs:graph")
    assert isinstance(load_graph("managed_graphs:graph", may_open=True), AbstractAsyncContextManager)


def test_a_hook_is_not_looked_for_among_graphs(module: Any) -> None:
    """Only who looks for a graph is told of those that there are."""
    module("hooked_graphs", "async def graph(input, writer): ...\nasync def authorize(access): ...\n")
    with pytest.raises(UsageError, match=r"no attribute 'nothing'; its graphs: graph$"):
        load_graph("hooked_graphs:nothing")
    with pytest.raises(UsageError, match=r"no attribute 'grph'; did you mean 'graph'\? Its graphs: graph$"):
        load_graph("hooked_graphs:grph")
    with pytest.raises(UsageError, match=r"no attribute 'nothing'; it has authorize, graph$"):
        load_object("hooked_graphs:nothing")
