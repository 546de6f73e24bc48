"""Where parts come from: iterables, functions with a writer, LangGraph graphs.

What `open_run` was given is a `graph_call`; `opening` picks the source. A graph runs in one of two ways:

- in its reader: `iterables` (`IterableSource`), `functions` (`DrivenFunction`, on the sync lane);
- in a task: a routine (`iterables`, `functions`) in a `hosted` source, with its `gate` and its `inbox`. `hosts` picks
  where the task runs: on the run's own loop, on asyncio in trio's thread (`hosted_in_trio`), or in another thread
  (`portal`).

To add a kind of graph:

1. What it does. If it is, or can be made, an async iterable of parts, use `IteratorRoutine`. If not, write a
   `Routine` (`hosted`): five members, which know nothing of a run.
2. Where it runs. `HostedSource` runs it on the run's loop. If it is for asyncio only, use `hosts.asyncio_source`.
3. A branch in `opening`, and a case in `lookalikes`, so that near misses get a helpful error.
4. On the sync lane, an iterable; otherwise `opening` says there what to do instead.

Whatever else other libraries' graphs need is in separate modules (`langgraph_*`), which `opening` imports only for such
graphs: no other module may import that library (`tests/test_layers.py`).
"""
