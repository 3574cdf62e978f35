"""Readers of what comes from outside, under bytes that nobody meant: they answer or refuse, soon, and never break."""
