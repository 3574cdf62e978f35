"""Tests without a socket: pure tables and properties."""
