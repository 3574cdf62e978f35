"""Sequences in which a script once broke the model, and such that evidence decides."""

from __future__ import annotations

#: A move, whom or what it is about, and two choices.
Step = tuple[str, int, bool, bool]

#: What the model has found, as its steps: a move, whom or what it is about, and two choices (see `Protocol.step`).
#: An even pick is worker w1, an odd one w2; modulo 7 it is a place: 0 is job a of run-1, 1 is b, 5 is a of run-2.
FOUND: dict[str, list[Step]] = {
    "a worker that comes back while it is buried keeps its list": [
        ("take", 0, True, False), ("lapse", 0, False, False), ("free the dead", 0, True, True),
    ],
    "a beat made up before a call hides it from nobody": [
        ("make up a beat", 0, False, False), ("take", 0, True, False), ("late beat", 0, False, False),
        ("loosen", 0, False, False), ("take", 7, True, False),
    ],
    "a lease left behind without a word is free in the end": [
        ("take", 0, True, False), ("time passes", 0, False, False), ("leave", 0, False, True),
        ("loosen", 0, False, False), ("take", 7, True, False),
    ],
    "a beat made up before a report brings no lease back": [
        ("take", 0, True, False), ("make up a beat", 0, False, False), ("succeed", 0, False, False),
        ("late beat", 0, False, False),
    ],
    "a late answer does not keep a lost run from being rebuilt": [
        ("take", 0, True, False), ("redis loses everything", 0, False, False), ("failed", 0, False, False),
        ("restore", 0, False, False),
    ],
    "a call that fails after the job's outcome counts in the totals": [
        ("take", 0, False, False), ("take", 7, True, False), ("skip", 0, True, False), ("doubted", 1, False, False),
    ],
    "a call whose worker dies after the job's outcome counts in the totals": [
        ("take", 0, False, False), ("take", 7, True, False), ("skip", 0, True, False), ("die", 1, False, False),
        ("free the dead", 0, True, False),
    ],
    "two reports of one job, both said again, count once each": [
        ("take", 0, False, False), ("take", 7, True, False), ("skip", 0, True, False), ("succeed", 0, False, False),
        ("tell again", 1, False, False), ("tell again", 0, False, False),
    ],
    "a probe that needs no call makes way for the next": [
        ("take", 0, True, False), ("failed", 1, False, False), ("take", 8, True, False), ("failed", 1, False, False),
        ("take", 6, True, False), ("failed", 1, False, False), ("take", 0, True, False), ("claim", 0, False, False),
        ("failed", 1, False, False), ("probe", 0, False, False), ("take", 0, True, False), ("skip", 0, True, False),
        ("probe", 0, False, False),
    ],
    "a done mark of an earlier run takes no call from its worker": [
        ("take", 0, True, False), ("succeed", 0, False, False), ("take", 12, True, False), ("claim", 0, False, False),
        ("lapse", 0, False, False), ("succeed", 0, False, False),
    ],
    "what is parted with twice stays with the thread that has it since": [
        ("take", 0, False, False), ("let go", 0, False, False), ("take", 0, True, False),
        ("let go again", 0, False, False), ("loosen", 0, False, False), ("take", 7, True, False),
    ],
    "what a late beat lists may be taken again": [
        ("take", 0, False, False), ("make up a beat", 0, False, False), ("let go", 0, False, False),
        ("late beat", 0, False, False), ("take", 0, True, False),
    ],
    "after a restart each worker that is known is heard before a call": [
        ("snapshot", 0, False, False), ("fall back", 0, False, False), ("take", 0, True, False),
        ("recall", 0, False, False), ("hold passes", 0, False, False), ("claim", 0, False, False),
    ],
    "a beat made up before a loss speaks for nobody": [
        ("make up a beat", 0, False, False), ("snapshot", 0, False, False), ("take", 0, True, False),
        ("fall back", 0, False, False), ("late beat", 0, False, False), ("beat", 1, False, False),
        ("recall", 0, False, False), ("hold passes", 0, False, False), ("take", 7, True, False),
    ],
    "of two workers that hold a job the one with the later grant does": [
        ("take", 0, True, False), ("snapshot", 0, False, False), ("lapse", 0, False, False),
        ("free the dead", 0, True, False), ("take", 7, True, False), ("claim", 0, False, False),
        ("fall back", 0, False, False), ("beat", 1, False, False), ("beat", 0, False, False),
    ],
    "the call of a dead worker is the dispatcher's to count": [
        ("take", 0, True, False), ("lapse", 0, False, False), ("loosen", 0, False, False),
    ],
    "a doubt from before a loss of Redis counts at the next one": [
        ("take", 0, True, False), ("doubted", 1, False, False), ("redis loses everything", 0, False, False),
        ("restore", 0, False, False), ("open", 0, False, False), ("recall", 0, False, False),
        ("hold is over", 0, False, False), ("take", 0, True, False), ("claim", 0, False, False),
        ("doubted", 1, False, False),
    ],
}  # fmt: skip

#: Refusals and failures that evidence decides (restyle/coordination/lua/call_failed.lua), step by step; at the end the
#: events that the model must have met on the way. Shard 1 of run-1 holds places 2 to 4.
DECIDED: dict[str, tuple[list[Step], str]] = {
    "a job that is refused again while others do well is in question, and fails alone": ([
        ("open", 1, False, False), ("take", 0, True, False), ("refused", 1, False, False), ("resume", 0, False, False),
        ("take", 8, True, False), ("succeed", 0, False, False), ("take", 0, True, False), ("refused", 0, True, False),
        ("claim", 0, False, False), ("take", 2, True, False), ("succeed", 0, False, False),
        ("claim", 0, False, False),
    ], "refused alone"),
    "three jobs in a row that are refused alike stop the fleet, and after a resume six": ([
        ("open", 1, False, False), ("take", 0, True, False), ("rejected", 3, False, False),
        ("take", 8, True, False), ("rejected", 3, True, False), ("take", 2, True, False), ("rejected", 1, False, False),
        ("resume", 0, False, False), ("take", 2, True, False), ("claim", 0, False, False),
        ("rejected", 3, False, False), ("take", 3, True, False),
        ("rejected", 3, False, False), ("take", 4, True, False), ("rejected", 3, False, False),
    ], "stopped"),
    "a recipe that fails again while others do well spends its own attempts": ([
        ("open", 1, False, False), ("take", 0, True, False), ("failed", 1, False, False), ("take", 8, True, False),
        ("succeed", 0, False, False), ("take", 0, True, False), ("claim", 0, False, False),
        ("failed", 1, False, False), ("take", 2, True, False), ("failed", 1, False, False),
        ("take", 4, True, False), ("failed", 1, False, False), ("take", 0, True, False), ("claim", 0, False, False),
        ("failed", 1, False, False),
    ], "alone"),
    "an outage that only a recipe is left to probe with, which never went well, is none in the end": ([
        ("open", 1, False, False), ("take", 8, True, False), ("succeed", 0, False, False),
        ("take", 0, True, False), ("failed", 1, False, False), ("take", 2, True, False), ("failed", 1, False, False),
        ("take", 4, True, False), ("failed", 1, False, False), ("take", 0, True, False), ("claim", 0, False, False),
        ("failed", 1, False, False),
        *[
            ("probe", 0, False, False), ("take", 0, True, False), ("claim", 0, False, False),
            ("failed", 1, False, False),
        ] * 5,
    ], "no outage"),
    "a worker that is refused for one more job while another does well is to stand aside": ([
        ("open", 1, False, False), ("take", 0, True, False), ("refused", 1, False, False), ("resume", 0, False, False),
        ("take", 1, True, False), ("succeed", 0, False, False), ("take", 2, True, False), ("refused", 1, False, False),
    ], "worker"),
    "lost answers are an outage sooner than failures": ([
        ("take", 0, True, False), ("doubted", 1, False, False), ("take", 8, True, False), ("doubted", 1, False, False),
    ], "outage"),
    "what was never sent is an outage, and spends nothing": ([
        ("take", 0, True, False), ("unreachable", 0, False, False), ("claim", 0, False, False),
        ("unreachable", 0, False, False),
    ], "outage"),
}  # fmt: skip
