"""The real command and real workers as processes, stopped by real signals, counted at the server."""
