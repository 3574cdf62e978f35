"""The terminal: where words go, and the signals that come from it."""
