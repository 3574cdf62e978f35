"""One seam each, against the real thing: Valkey, an S3 server, HTTP."""
