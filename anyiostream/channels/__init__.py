"""Between producers and readers: bounded buffers, channels, promises. Imports no event loop."""
