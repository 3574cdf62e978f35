"""The domain that every part shares: jobs, records, the pipeline, and the doors to S3, Redis and the API.

Imports no Celery, no terminal, no environment; values come in as arguments.
"""
