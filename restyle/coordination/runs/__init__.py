"""What the fleet shares about runs: ledgers and shards, how Redis knows them, brakes, events, firings, trends."""
