"""What the fleet has in common, as every process sees it: its workers, their leases, and why it stands still."""

from __future__ import annotations

from restyle.coordination.claim_types import Limits
from restyle.coordination.redis.client import State
from restyle.coordination.redis.hints import MOST_TTL, MOST_WORKERS, read_number, read_object, read_place
from restyle.coordination.suspensions import Suspension, read_hold, read_suspensions


class FleetView:
    """The fleet by its Redis; `worker` is empty in a command."""

    def __init__(self, state: State, limits: Limits, *, worker: str = "") -> None:
        self.state = state
        self.limits = limits
        self.worker = worker

    # -- workers and leases --------------------------------------------------------------------------------

    def workers(self) -> dict[str, dict[str, object] | None]:
        """Every known worker with the state of its heartbeat; None where that is missing, or has no end."""
        names = sorted(self.state.ask("SRANDMEMBER", self.state.key("workers"), MOST_WORKERS))
        keys = [self.state.key("worker", name) for name in names]
        answers = self.state.ask_all(*(("PTTL", key) for key in keys), ("MGET", *keys)) if names else [[]]
        heartbeats = zip(names, answers, answers[-1], strict=False)
        return {
            name: (read_object(beat) or {}) if 0 <= ms <= MOST_TTL * 1000 else None for name, ms, beat in heartbeats
        }

    def jobs_of(self, worker: str) -> dict[str, dict[str, object]]:
        """The jobs on a worker's list: where each stands in its run; what is no place is passed over."""
        held = self.state.ask("HGETALL", self.state.key("worker", worker, "jobs"))
        return {job_id: place for job_id, text in held.items() if (place := read_place(text))}

    @property
    def living_jobs(self) -> set[str]:
        """Every job on the list of a worker that lives."""
        living = [name for name, beat in self.workers().items() if beat is not None]
        lists = self.state.ask_all(*(("HKEYS", self.state.key("worker", name, "jobs")) for name in living))
        return {job_id for held in lists for job_id in held}

    def lease(self, job_id: str) -> dict[str, str]:
        """Who holds a job and since when it is calling; empty where nobody does."""
        return dict(self.state.ask("HGETALL", self.state.key("lease", job_id)))

    def free(self, worker: str, place: dict[str, object], job_id: str) -> tuple[bool, int, int]:
        """Frees a job of a dead worker: whether a call was out, doubts so far, deaths before a call so far."""
        run, shard, index = (str(place[name]) for name in ("run", "shard", "index"))
        calling, doubts, deaths = self.state.run("free", worker=worker, run=run, shard=shard, index=index, job=job_id)
        return bool(calling), doubts, deaths

    def bury(self, worker: str) -> None:
        """Forgets a dead worker whose jobs have all been freed; not one that has come back meanwhile."""
        self.state.run("bury", worker=worker)

    def loosen(self, job_id: str) -> None:
        """Frees a lease that its holder does not know of, or whose holder has left."""
        self.state.run("loosen", job=job_id)

    def probe(self, job_id: str, *, at_once: bool = False) -> bool:
        """Makes this job the probe of an outage, where its wait is over (or not, at once) and no other probe is out."""
        return bool(self.state.run("probe", job=job_id, longest=self._longest_call, at_once=at_once))

    def failing(self) -> set[str]:
        """The jobs and recipes that have failed of late, and not succeeded since."""
        return set(self.state.ask("HKEYS", f"{self.state.account}failing"))

    # -- suspension ----------------------------------------------------------------------------------------

    def suspend(self, reason: str, detail: str, by: str, *, cause: str = "", stored: bool = False) -> bool:
        """Suspends the fleet for one more reason; one that is stored stands in this workspace's S3 as well."""
        workspace = self.state.namespace if stored else ""
        return bool(
            self.state.run("suspend", reason=reason, detail=detail, by=by, workspace_in_s3=workspace, cause=cause)
        )

    def resume(self) -> None:
        """Lifts every reason of the fleet's suspension; workers take up what is pending."""
        self.state.run("resume")

    def may_ask_balance(self, wait: float, longest: float) -> bool:
        """Whether this worker may ask for the balance: of all who wait one does, once in so many seconds."""
        key = f"{self.state.account}balance:asked"
        if not 0 <= self.state.ask("PTTL", key) <= longest * 1000:  # none, or one that no worker of ours has put there
            self.state.ask("UNLINK", key)
        return bool(self.state.ask("SET", key, self.worker, "NX", "PX", round(wait * 1000)))

    def topped_up(self, standing: Suspension, balance: float) -> bool:
        """Lifts `no_credits` where the account has more than before, and enough; False where it stands on."""
        least, price = self.limits.budgets.least, self.limits.budgets.price
        since = round(standing.since * 1000)
        return bool(
            self.state.run(
                "topped_up", balance=f"{balance:.6f}", least=least, price=price, worker=self.worker, since=since
            )
        )

    def suspensions(self) -> list[Suspension]:
        """Why the fleet stands still; empty when it runs."""
        reasons, lost = self.state.ask_all(
            ("HGETALL", f"{self.state.account}suspension"), ("HGET", self.state.key("fleet"), "lost")
        )
        entries = {**reasons, "workspace_held": lost} if lost else reasons
        return list(read_suspensions(entries, "fleet"))

    @property
    def holds_workspace(self) -> bool:
        """Whether S3 has confirmed lately that this Redis holds the workspace; else no claim succeeds (holding.py)."""
        return bool(self.state.ask("EXISTS", self.state.key("holder")))

    def held(self) -> Suspension | None:
        """The API's hold after a 429, once it lasts for more than a minute: nobody calls, and it ends by itself."""
        fields = self.state.ask("HMGET", f"{self.state.account}rate", "hold", "limited_since", "hold_detail", "hold_by")
        fields[:2] = [text if read_number(text) is not None else None for text in fields[:2]]
        return read_hold(*fields, now=self.state.clock()) if fields[0] else None

    def standing(self) -> list[Suspension]:
        """Why no call is made, for people: the suspensions, and a hold of the API's."""
        held = self.held()
        return [*self.suspensions(), *([held] if held else [])]

    @property
    def _longest_call(self) -> int:
        """Milliseconds after which a call whose end nobody has reported has ended."""
        return round((self.limits.api_timeout + 30) * 1000)

    def credits_left(self) -> float | None:
        """The account's credits by the last answer that gave them."""
        return read_number(self.state.ask("HGET", f"{self.state.account}rate", "credits"))
