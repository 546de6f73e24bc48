"""The core: routes each part of the graph through the transformers. Imports no event loop."""
