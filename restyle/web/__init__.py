"""Pictures that lie on web servers: their addresses, how they are fetched, and what a run has fetched."""
