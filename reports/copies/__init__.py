"""Copies of a run's outputs: a download, a mirror that follows a run, a copy of its page."""
