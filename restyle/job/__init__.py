"""What one job's way is made of, called by restyle/pipeline.py: look for a result, call, check, store."""
