"""Servers that share a store: `python -m benchmarks.several`."""
