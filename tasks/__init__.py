"""Thin Celery tasks: each takes one message to the domain and carries out what it decided."""
