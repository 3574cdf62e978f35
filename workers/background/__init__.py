"""Threads that a worker process has beside its jobs: heartbeat, dispatcher, notifier, fetcher, reconciler, ..."""
