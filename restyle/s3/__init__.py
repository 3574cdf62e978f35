"""S3: objects in and out, and every foreign error as one of ours."""
