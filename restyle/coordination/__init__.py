"""What the fleet shares in Redis: runs, claims, budgets, suspensions. Each change is one script (lua/)."""
