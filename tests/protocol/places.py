"""The small world that the model is about: two runs that share jobs, and how a call may end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from restyle.coordination.claim_types import Limits
from restyle.coordination.runs.progress import Ended
from restyle.coordination.runs.registry import Word
from restyle.errors import (
    ApiTimeout,
    ApiUnavailable,
    MalformedResponse,
    OutOfCredits,
    RateLimited,
    RequestFailed,
    RequestLost,
    RequestRejected,
    RestyleError,
)
from restyle.keys import Workspace
from restyle.models import (
    Job,
    ManifestSource,
    Message,
    Outcome,
    OutcomeKind,
    Params,
    Run,
    RunOptions,
    RunStatus,
    utc_now,
)

WORKSPACE = Workspace("s3://bucket/model")
#: The jobs of each run by shard. The second run has two jobs of the first one: a lease is on a job across runs.
PLANS: dict[str, list[list[str]]] = {"run-1": [["a", "b"], ["c", "d", "e"]], "run-2": [["a", "d"]]}
DEATHS, FAILURES, JOBS = 5, 4, 3
#: Of lost answers half as many are an outage; and so many jobs in a row refused alike stop the fleet.
LOST, LOST_JOBS, ALIKE = 2, 2, 3
#: Failed probes in a row with recipes that never went well, that end an outage.
PROBES = 5
#: No heartbeat runs out by itself within an example, and an outage may be probed at once.
LIMITS = Limits(heartbeat_ttl=600, outage_failures=FAILURES, outage_jobs=JOBS, probe_seconds=0, probe_max=0)
DONE = Ended(
    Outcome(outcome=OutcomeKind.SUCCEEDED, credits=0.02),
    calls=1, wrote_record=True, call_succeeded=True, credits_left=7.5,
)  # fmt: skip
SKIPPED = Ended(Outcome(outcome=OutcomeKind.SKIPPED))
#: A record of this very run was there.
FOUND_RECORD = Ended(Outcome(outcome=OutcomeKind.SUCCEEDED, credits=0.02), wrote_record=True)
#: What a person says of a run that is to stand still.
OPERATOR = Word("operator", "", "me", 1)
#: 200, paid for, and no picture.
SPOILED = MalformedResponse("half a picture", 200)
SPOILED.cost = 0.02
#: How a call may end without a picture.
ENDINGS: dict[str, RestyleError | None] = {
    "failed": ApiUnavailable("500", 500),
    "doubted": ApiTimeout("lost", in_doubt=True),
    "spoiled": SPOILED,
    "unreachable": ApiUnavailable("no such host"),
    "rejected": RequestRejected("400", 400),
    "limited": RateLimited("429", wait=600),
    "refused": OutOfCredits("406", 406),
    "request failed": RequestFailed("422"),
    "request lost": RequestLost("404"),
    "unsent": None,
}
#: What a result is made from: the plan of one run asks for another picture than that of the other.
MADE_FROM = {"run-1": "this", "run-2": "that"}

#: What may follow a call without a picture.
THEN = ["retry", "let go", "give back", "fail"]
PICK = st.integers(0, 35)
FLAG = st.booleans()


@dataclass(frozen=True)
class Place:
    """Where a job stands."""

    run: str
    shard: int
    index: int

    @property
    def name(self) -> str:
        """The job's name; the same in both runs."""
        return PLANS[self.run][self.shard][self.index]

    @property
    def variant(self) -> str:
        """Its look: one of two."""
        return "dawn" if self.name in "ace" else "dusk"

    @property
    def recipe(self) -> str:
        """What it has in common with others of its run."""
        return f"{self.run} {self.variant}"

    @property
    def job(self) -> str:
        """The job's id."""
        return WORKSPACE.job_id(self.name, self.variant)

    @property
    def message(self) -> Message:
        """Its message on the queue."""
        job = Job(
            id=self.name,
            variant=self.variant,
            image="s3://b/i.jpg",
            params=Params(prompt="p"),
            output="s3://b/o.jpg",
        )
        return Message(run_id=self.run, shard=self.shard, index=self.index, job_id=self.job, job=job)


SHARDS = [(run, shard) for run, plan in PLANS.items() for shard in range(len(plan))]
PLACES = [Place(run, shard, index) for run, shard in SHARDS for index in range(len(PLANS[run][shard]))]


def planned(run: str) -> int:
    """How many jobs a run has."""
    return sum(len(shard) for shard in PLANS[run])


def a_run(run: str, status: RunStatus = RunStatus.RUNNING) -> Run:
    """The run as its run.json tells it."""
    return Run(
        run_id=run,
        status=status,
        created=utc_now(),
        manifest=ManifestSource(uri="m.csv", sha256="0"),
        plan_digest="d",
        options=RunOptions(),
        shards=len(PLANS[run]),
        planned=planned(run),
    )


def some(choices: list[Any], pick: int) -> Any:
    """One of them, by a number that shrinks well."""
    return choices[pick % len(choices)]


#: What a rule is about.
PLACE, SHARD, RUN = st.sampled_from(PLACES), st.sampled_from(SHARDS), st.sampled_from(sorted(PLANS))
