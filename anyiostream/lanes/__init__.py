"""The two lanes: cursors and run streams, for programs with an event loop and for those without."""
