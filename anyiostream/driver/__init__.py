"""What moves a run on the async lane."""
