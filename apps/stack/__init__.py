"""The embedded stack: real servers and workers, as groups of processes that commands share."""
