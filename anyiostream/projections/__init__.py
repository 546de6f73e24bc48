"""The built-in transformers: one file per concept."""
