"""The routes of the dashboard, by subject."""
