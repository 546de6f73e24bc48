"""Programs that make what the documents show."""
