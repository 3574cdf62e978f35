"""A process's metrics, and the steps of a job for tracing."""
