-- Counts what a run has spent before Redis knew of it, once.
-- run, JSON: period -> credits -> 1 counted, 0 it was counted before
return spent_earlier(arg(1), cjson.decode(arg(2)))
