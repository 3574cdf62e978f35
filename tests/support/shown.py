"""A workspace without a fleet, and a dashboard that shows it: what tests ask for and what they put there."""

from __future__ import annotations

import gzip
import http.client
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode, urlsplit

from restyle.coordination.runs.progress import Progress
from restyle.keys import Workspace
from restyle.models import Job, ManifestSource, Outcome, OutcomeKind, Params, Run, RunOptions, RunStatus, utc_now
from restyle.s3.store import Store
from tests.support.catalog import picture
from tests.support.dashboard import Served
from tests.support.servers import S3

TOKEN = "a-token-of-many-letters"
KEY = "SG_this_is_the_api_key"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """As text."""
        return self.body.decode()

    @property
    def form_token(self) -> str:
        """The token of the page's form."""
        found = re.search(r'name="form_token" value="([0-9a-f]+)"', self.text)
        assert found, self.text
        return found.group(1)


@dataclass(frozen=True)
class Place:
    """A workspace without a fleet, and a dashboard that shows it."""

    served: Served
    store: Store
    workspace: Workspace
    progress: Progress

    def ask(self, path: str, form: dict[str, str] | None = None, **headers: str) -> Answer:
        """One request; redirects are not followed."""
        connection = http.client.HTTPConnection(urlsplit(self.served.url).netloc, timeout=20)
        told = {"Accept": "text/html", **{name.replace("_", "-"): value for name, value in headers.items()}}
        try:
            if form is None:
                connection.request("GET", path, headers=told)
            else:
                told["Content-Type"] = "application/x-www-form-urlencoded"
                connection.request("POST", path, urlencode(form), told)
            found = connection.getresponse()
            return Answer(found.status, {name.lower(): value for name, value in found.getheaders()}, found.read())
        finally:
            connection.close()

    def add_run(
        self, number: int = 0, *, finished: bool = False, jobs: int = 1, name: str = "shop.csv", run_id: str = ""
    ) -> Run:
        """A run whose first job is done, by what S3 and Redis say."""
        begun = utc_now() - timedelta(hours=number)
        run = Run(
            run_id=run_id or f"{begun:%Y%m%dT%H%M%SZ}-{number:06x}",
            status=RunStatus.FINISHED if finished else RunStatus.RUNNING,
            created=begun, finished=begun + timedelta(minutes=9) if finished else None,
            manifest=ManifestSource(uri=f"s3://shop/{name}", sha256="0"), plan_digest=secrets.token_hex(4),
            options=RunOptions(), shards=1, planned=jobs, by="anna@shop",
        )  # fmt: skip
        self.store.put(self.workspace.run(run.run_id), run.model_dump_json().encode(), content_type="application/json")
        self.progress.register(run)
        if finished:
            self.progress.end(run.run_id, RunStatus.FINISHED)
        return run

    def add_picture(self, run: Run) -> None:
        """The run's one job, with its pictures."""
        image, output = self.workspace.under("in", "lamp.jpg"), self.workspace.output("lamp", "oak")
        job = Job(id="lamp", variant="oak", image=image, params=Params(prompt="a <b>lamp</b>"), output=output)
        lines = gzip.compress(job.model_dump_json().encode(), mtime=0)
        self.store.put(self.workspace.shard(run.run_id, 0), lines, content_type="application/gzip")
        for uri in (image, output):
            self.store.put(uri, picture(uri, 900), content_type="image/jpeg")
        assert self.progress.open_shard(run.run_id, 0, 1)
        outcome = Outcome(outcome=OutcomeKind.SUCCEEDED, outputs=(output,), ended=utc_now(), seconds=7.5, credits=0.02)
        state = self.progress.state
        state.ask("HSET", state.key("run", run.run_id, "shard", "0"), "o:0", outcome.model_dump_json(), "n", 1)
        state.ask("HSET", state.key("run", run.run_id), "succeeded", 1)


def environment(redis_url: str, s3: S3, workspace: Workspace) -> dict[str, str]:
    """What leads to them."""
    return {"RESTYLE_REDIS_URL": redis_url, "RESTYLE_WORKSPACE": workspace.uri, "RESTYLE_API_KEY": KEY, **s3.env}
