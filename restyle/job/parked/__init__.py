"""Paid answers that are not yet where they belong: in Redis, on this machine's disk, or set aside in S3."""
