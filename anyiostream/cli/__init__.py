"""The command line: `python -m anyiostream run module:graph`."""
