"""After a loss of Redis: what S3 says of runs, their doubtful calls, and the answers that nobody could read."""
