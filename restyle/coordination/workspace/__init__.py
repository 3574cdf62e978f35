"""Who holds a workspace: one Redis at a time may spend in it (docs/decisions/0027-one-holder.md)."""
