"""The process that runs tasks: its start and its drain; background/: heartbeat, dispatcher and other threads."""
