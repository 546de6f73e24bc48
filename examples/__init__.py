"""Examples: `nox -s example -- NAME`, or, where their dependencies are installed, `python -m examples.NAME`."""
