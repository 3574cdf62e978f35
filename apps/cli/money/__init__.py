"""The commands about what was paid."""
