"""What changed since the previous runs."""
