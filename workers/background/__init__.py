"""What a worker process does beside its jobs, each in a thread: moves runs, sends notices, fetches, waits, repairs."""
