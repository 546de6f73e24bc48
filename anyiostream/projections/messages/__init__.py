"""`run.messages`: one stream per model call.

`record` keeps one message's events and deltas, `streams` shows it on either lane, `output` and `assembling` are the
final message, `transformer` tells the calls apart, and `langchain` reads and builds LangChain's message classes.
"""
