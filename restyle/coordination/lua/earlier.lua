-- Counts what a run has spent before Redis knew of it, once.
-- args: run, amounts json (period -> credits)
-- returns: 1 counted, 0 it was counted before
return spent_earlier(run, amounts)
