"""The process that runs tasks: its start, its heartbeat, its drain, and the dispatcher."""

from workers.path import without_current_folder

# Before any module of this package, and so of ours, is imported: `celery -A workers.main` has none to do it in.
without_current_folder()
