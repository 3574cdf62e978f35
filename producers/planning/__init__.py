"""A manifest becomes a plan: entries meet variants, prompts, names and seeds; then shards in S3."""
