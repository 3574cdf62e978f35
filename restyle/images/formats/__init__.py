"""What files of each format have: parts, ends, bounds, colours, metadata."""
