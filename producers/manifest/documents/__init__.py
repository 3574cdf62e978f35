"""JSON and XML manifests, read item by item in memory that does not grow."""
