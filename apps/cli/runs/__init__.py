"""The commands that look at runs and move them."""
