"""Measurements against `langgraph.stream` of the installed LangGraph."""
