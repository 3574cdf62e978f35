"""What the model concludes of calls that brought no picture (docs/decisions/0024)."""

from __future__ import annotations

from restyle.coordination.claim_types import Storm
from restyle.errors import (
    ApiTimeout,
    FleetError,
    OutOfCredits,
    RequestFailed,
    RequestRejected,
    RestyleError,
)
from tests.protocol.kept import Evidence, Hand
from tests.protocol.model import Model
from tests.protocol.places import (
    ALIKE,
    FAILURES,
    JOBS,
    LOST,
    LOST_JOBS,
    PROBES,
    SPOILED,
    Place,
    planned,
)


class Concluding(Model):
    """Adds what refusals and failures lead to."""

    def called(self, worker: str, kind: str, hand: Hand, error: RestyleError | None) -> Storm:
        """A call ended without a picture."""
        place, ledger = hand.place, self.ledgers[hand.place.run]
        mine = self.release(place.job, hand.token)
        if mine:
            self.paid_by(place, error)
        if mine and error and error.ends_request:
            self.requests.pop(place.job, None)
        if mine and error is SPOILED:
            ledger.credits += 0.02
        if mine and self.is_open(place):
            ledger.calls[place] += kind in {"failed", "rejected"}
            ledger.doubts[place] += bool(getattr(error, "in_doubt", False))
        assert hand.claim
        fresh = hand.claim.epoch == str(self.epoch)
        if kind == "limited" and fresh:
            self.held_back = True
        stopped, in_question, singled_out, storm = False, False, False, False
        if isinstance(error, OutOfCredits):
            verdict = self.refusal(worker, place, error, fresh, mine)
            stopped, in_question, singled_out = verdict == 1, verdict == 2, verdict == 3
        elif isinstance(error, RequestRejected):
            stopped = self.rejection(place, error, fresh)
        elif kind == "failed":
            storm = self.one_more_failure(place, mine, doubted=bool(getattr(error, "in_doubt", False)))
        elif kind == "unreachable":
            self.unreachable += mine
            storm = self.outage(place, self.unreachable >= LOST)
        return Storm(ledger.used(place), ledger.doubted(place), storm, stopped, in_question, singled_out)

    def paid_by(self, place: Place, error: RestyleError | None) -> None:
        """What a call's end says of the request that was perhaps accepted for it."""
        if isinstance(error, RequestFailed):
            self.paid.discard((place.job, place.run))
        if isinstance(error, ApiTimeout):
            self.paid.add((place.job, place.run))

    def refusal(self, worker: str, place: Place, error: FleetError, fresh: bool, mine: bool) -> int:
        """A refusal with a word against all: the fleet stands for it (1), or job (2) or worker (3) is in question."""
        if self.probing == place.job:
            self.probing = None
        if not fresh:
            return 0
        too_many, now, before = self.one_more_alike(place, 406), next(self.events), self.refused.get(place.job)
        if not mine and before and before.times >= 2:
            return 2
        others_well = before and self.good_began > (before.at if self.has_others(place.run) else 0)
        in_question = bool(others_well) and not too_many
        if self.is_refuser(worker, now, before is None and not too_many):
            return 3
        times = before.times + 1 if before and in_question else 1
        self.refused[place.job] = Evidence(now, times)
        if in_question:
            return 2
        if error.reason not in self.suspended:
            self.suspended.add(error.reason)
            self.refused = {job: Evidence(now) for job in self.refused}
            self.stopped_alike |= {(error.reason, 406)} if too_many else set()
        return 1

    def is_refuser(self, worker: str, now: int, may_be: bool) -> bool:
        """Whether a worker is refused for one more job while others do well; told once."""
        known = self.refusers.get(worker)
        self.refusers.setdefault(worker, Evidence(now, 0))
        if not (known and may_be and not known.times and self.good_began > known.at):
            return False
        known.times = 1
        self.met.add("worker")
        return True

    def rejection(self, place: Place, error: RequestRejected, fresh: bool) -> bool:
        """A refusal of one job; whether it is one too many."""
        self.streak, self.lost, self.unreachable, self.failing = 0, 0, 0, set()
        if self.probing == place.job:
            self.probing = None
        if not fresh or not self.one_more_alike(place, error.http_status or 0):
            return False
        if "refused" not in self.suspended:
            self.suspended.add("refused")
            self.met.add("stopped")
            self.stopped_alike.add(("refused", error.http_status or 0))
        return True

    def one_more_alike(self, place: Place, status: int) -> bool:
        """One more job in a row that is refused under a status; whether those are too many."""
        jobs = self.alike[1] if self.alike[0] == status else set()
        self.alike = (status, jobs | {place.job})
        return len(self.alike[1]) >= self.allowed.get(status, ALIKE)

    def fails_alone(self, name: str, turns: int) -> bool:
        """Whether a job or a recipe has failed again so often while others did well."""
        now = next(self.events)
        seen = self.failed_at.setdefault(name, Evidence(now, 0))
        if self.good_began > seen.at:
            seen.at, seen.times = now, seen.times + 1
        if seen.times >= turns:
            self.met.add("alone")
        return seen.times >= turns

    def probe_failed(self, place: Place, *, is_suspect: bool) -> None:
        """A probe has failed; where none but recipes that never went well are left, it is no outage in the end."""
        self.tries = self.tries + 1 if is_suspect else 0
        self.suspects = self.suspects | {place.recipe} if is_suspect else set()
        if self.tries >= PROBES:
            self.met.add("no outage")
            self.suspended.discard("outage")
            self.streak, self.lost, self.failing = 0, 0, set()
            self.failed_at |= {name: Evidence(next(self.events), 1) for name in self.suspects}

    def outage(self, place: Place, is_over_limit: bool, *, is_suspect: bool = False) -> bool:
        """One more failure under an outage, or one too many; whether one stands."""
        if "outage" in self.suspended:
            if self.probing == place.job:
                self.probing = None
                self.probe_failed(place, is_suspect=is_suspect)
        elif is_over_limit:
            self.tries, self.suspects = 0, set()
            self.suspended.add("outage")
            self.met.add("outage")
        return "outage" in self.suspended

    def one_more_failure(self, place: Place, mine: bool, *, doubted: bool) -> bool:
        """One more failure in a row; whether it is a storm."""
        ledger = self.ledgers[place.run]
        recipe_alone = self.fails_alone(place.recipe, 1)
        alone = self.fails_alone(place.job, 3) or recipe_alone
        self.unreachable = 0
        self.streak += mine and not alone
        self.lost = self.lost + (mine and not alone) if doubted else 0
        if not alone:
            self.failing.add(place.job)
        failing = len(self.failing)
        over_limit = (self.streak >= FAILURES and failing >= JOBS) or (self.lost >= LOST and failing >= LOST_JOBS)
        is_suspect = bool(ledger.well) and place.variant not in ledger.well
        if self.outage(place, over_limit, is_suspect=is_suspect):
            return True
        pending = planned(place.run) - len(ledger.ended) if ledger.known else 0
        return not alone and failing >= 2 and pending > failing
