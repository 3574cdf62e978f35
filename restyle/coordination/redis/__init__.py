"""The connection to Redis: its address, its client, what its errors mean, and whether the server suits."""
