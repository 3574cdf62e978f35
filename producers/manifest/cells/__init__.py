"""What columns mean, and what the values in their cells become."""
