"""Whole jobs in this process: a plan in a real S3, claims in a real Valkey, calls of a real sandbox; but no queue."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from config.celery_app import make_celery
from config.reading import load_settings
from config.settings import Settings
from producers.dispatch.feeder import Feeder
from producers.dispatch.plans import read_plan
from producers.planning.make import make_plan
from producers.planning.plan import Plan
from producers.planning.request import PlanRequest
from producers.runs.outcomes import Rows
from producers.runs.snapshot import rows_of
from restyle.coordination.runs.progress import Ended
from restyle.job.lookup import find_record
from restyle.job.outcomes import outcome_of
from restyle.models import Job, Message, Outcome, Run
from restyle.record import Record
from restyle.s3.store import Stored
from tasks.image import restyle_image
from tasks.resources import Resources, open_resources
from tests.support.catalog import picture
from tests.support.holding import hold
from tests.support.runs import write
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3

PROMPT = "photo of {id} on an oak table"


@dataclass
class Bench:
    """A workspace of its own, and a worker's tools on it."""

    environment: Mapping[str, Any]
    resources: Resources

    def put(self, name: str, data: bytes | None = None) -> str:
        """Stores an input; its URI."""
        uri = self.resources.workspace.under("in", f"{name}.jpg")
        self.resources.store.put(uri, picture(name) if data is None else data, content_type="image/jpeg")
        return uri

    def plan(self, manifest: str, settings: Mapping[str, Any] | None = None, **asked: Any) -> Plan:
        """A manifest's text, judged."""
        asked.setdefault("prompt", PROMPT)
        given = load_settings(**{**self.environment, **(settings or {})})
        stdin = io.BytesIO(manifest.encode())
        return make_plan(
            PlanRequest("-", **asked),
            given,
            workspace=self.resources.workspace,
            store=self.resources.store,
            stdin=stdin,
        )

    def begin(self, plan: Plan) -> Run:
        """Writes a plan and opens all of its shards."""
        here = self.resources
        run = write(plan, workspace=here.workspace, store=here.store, shard_jobs=500, by="me@here")
        hold(here.state)
        here.progress.register(run)
        for shard in range(run.shards):
            assert here.progress.open_shard(run.run_id, shard, len(self.lines(run, shard)))
        return run

    def lines(self, run: Run, shard: int) -> list[Job]:
        """The jobs of a shard."""
        here = self.resources
        return [Job.model_validate_json(line) for line in read_plan(here.store, here.workspace, run.run_id, shard)]

    def messages(self, run: Run) -> Iterator[dict[str, Any]]:
        """The messages of a run."""
        for shard in range(run.shards):
            for index, job in enumerate(self.lines(run, shard)):
                message = Message(
                    run_id=run.run_id, shard=shard, index=index, job_id=self.resources.job_id(job), job=job
                )
                yield message.model_dump(mode="json")

    def message(self, told: dict[str, Any]) -> Message:
        """A message as its worker reads it."""
        return Message.model_validate(told)

    def reported(self, message: Message, *, calls: int) -> Ended:
        """What the worker that wrote a job's record reports of it."""
        record = self.record(message.job.id, message.job.variant)
        return Ended(outcome_of(record, 1.0), calls=calls, wrote_record=True, call_succeeded=calls > 0)

    def work(self, run: Run) -> dict[str, Outcome]:
        """Does every job of a run; its outcomes by id and variant."""
        for message in self.messages(run):
            self.resources.tools.fleet.heartbeat({})
            restyle_image(self.resources, message)
        return {f"{job.id}/{job.variant}": outcome for job, outcome in self.rows(run)() if outcome}

    def run(self, manifest: str, settings: Mapping[str, Any] | None = None, **asked: Any) -> dict[str, Outcome]:
        """Plans and does everything of a manifest."""
        return self.work(self.begin(self.plan(manifest, settings, **asked)))

    def rows(self, run: Run) -> Rows:
        """A run's jobs with their outcomes."""
        here = self.resources
        return rows_of(run, store=here.store, workspace=here.workspace, progress=here.progress)

    def record(self, entry: str, variant: str = "default") -> Record:
        """A job's record."""
        here = self.resources
        job = Job(id=entry, variant=variant, image="", params={"prompt": "p"}, output="")
        found = find_record(Message(run_id="", shard=0, index=0, job_id="", job=job), here.store, here.workspace)
        assert found is not None
        return found

    def output(self, entry: str, variant: str = "default", sample: int = 0) -> Stored:
        """What lies where the record says."""
        return self.resources.store.get(self.record(entry, variant).outputs[sample].uri)

    def close(self, run: Run) -> None:
        """Closes all shards of a run, as the dispatcher does: from here on their outcomes are in S3 alone."""
        here = self.resources
        app = make_celery(here.settings)
        feeder = Feeder(app, here.progress, here.tools.fleet, here.store, here.workspace, 100, 60)
        for shard in range(run.shards):
            feeder.close(run.run_id, shard)


@contextmanager
def running_bench(s3: S3, redis_url: str, sandbox: SandboxServer, **settings: Any) -> Iterator[Bench]:
    """A bench on these servers."""
    environment = {
        "redis_url": redis_url,
        "workspace": s3.workspace.uri,
        "api_url": sandbox.url,
        "api_key": sandbox.api_key,
        "local_s3_endpoint": s3.endpoint.url,
        "local_s3_access_key": s3.access_key,
        "local_s3_secret_key": s3.secret_key,
        "backoff_base": 0.01,
        "backoff_max": 0.02,
        **settings,
    }
    worker: Settings = load_settings(**environment)
    resources = open_resources(worker)
    try:
        yield Bench(environment, resources)
    finally:
        resources.close()
