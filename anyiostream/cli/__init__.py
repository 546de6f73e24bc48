"""The command line, `python -m anyiostream`: one module for each subcommand."""
