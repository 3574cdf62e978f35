"""A trial: prompts and parameters compared on a few entries of a catalog, before it is paid for."""
