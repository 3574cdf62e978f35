"""What the fleet shares in Redis: runs, claims, the rate limit, budgets, suspensions.

Each change is one script in lua/: claim.lua holds the rate limit, heartbeat.lua takes the workers' heartbeats,
suspend.lua stops the fleet.
"""
