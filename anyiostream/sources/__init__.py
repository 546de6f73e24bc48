"""Where parts come from: iterables, functions with a writer, LangGraph graphs."""
