"""A plan becomes messages on the queue, a window at a time."""
