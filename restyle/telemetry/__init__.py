"""What a process counts of its own work, and the steps of a job for whoever follows them."""
