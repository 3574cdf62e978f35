"""Settings, the Celery application and the logs. Read at the edges of a process and nowhere else."""
