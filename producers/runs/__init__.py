"""What is known of runs and done to them: control, snapshot, outcomes, history, rebuilding after a loss."""
