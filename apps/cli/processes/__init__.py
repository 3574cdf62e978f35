"""The commands that serve, work and check."""
