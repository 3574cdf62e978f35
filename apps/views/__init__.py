"""What both the command line and the dashboard show of runs, read from S3 and Redis."""
