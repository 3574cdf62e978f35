"""The process itself: its memory, its clock, its slots."""
