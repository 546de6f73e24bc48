"""One small agent, written twice, watched in every lane. Run by `nox -s demo`; needs neither a key nor a network.

`script` has what both agents share, `state_graph` is the agent as a LangGraph graph, `function_graph` the same agent
as an async function, `witness` shows and notes what a reader sees, `lanes` reads a run on each lane, and `__main__`
compares what they all saw.
"""
