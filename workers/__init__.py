"""The process that runs tasks: its start, its heartbeat, its drain, and the dispatcher."""
