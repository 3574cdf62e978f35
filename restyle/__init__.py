"""The domain that every part shares: jobs, records, the pipeline, and the clients of S3, Redis and the API.

Imports no Celery, no terminal, no environment; values come in as arguments.
"""
