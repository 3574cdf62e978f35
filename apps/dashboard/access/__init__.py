"""Who may open the dashboard: identities, what stands before every page, and connections."""
