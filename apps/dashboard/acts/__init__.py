"""What the buttons and forms of the dashboard do."""
