"""The Python API: a program submits to a fleet, follows, steers and reads runs, and is asked nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.client import Client
from producers.planning.request import PlanRequest
from restyle.errors import ConfigurationError, ManifestError
from restyle.models import RunStatus
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.works import Works, running_works


@pytest.fixture
def works(s3: S3, redis_url: str, sandbox: SandboxServer) -> Iterator[Works]:
    """A small fleet; a call costs one credit."""
    with running_works(s3, redis_url, sandbox) as found:
        yield found


def test_a_program_submits_follows_and_reads(
    works: Works, sandbox: SandboxServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the manifest to each outcome; nothing is printed, and the run is found by its name."""
    manifest = tmp_path / "catalog.csv"
    manifest.write_text(works.catalog(3))
    request = PlanRequest(str(manifest), prompt="photo of {id}", name="spring", labels={"team": "home"})
    with Client(**works.bench.environment) as client:
        assert client.plan(request).jobs == 3
        assert sandbox.calls == 0
        run = client.submit(request)
        assert [now.succeeded for now in client.watch("spring", every=0.05)][-1] == 3
        assert {outcome.outcome.value for _, outcome in client.outcomes("latest") if outcome} == {"succeeded"}
        assert [found.run_id for found in client.runs(labels={"team": "home"})] == [run.run_id]
        assert client.runs(labels={"team": "shop"}) == []
        assert client.status(run.run_id[:-1]).status is RunStatus.FINISHED
    assert sandbox.charged == 3
    assert capsys.readouterr().err == ""  # on stdout is the fleet's own log
    with pytest.raises(ConfigurationError, match="open the client first"):
        client.runs()


def test_what_a_command_would_ask_about_is_refused(works: Works, sandbox: SandboxServer, tmp_path: Path) -> None:
    """A large estimate without a budget, a name that is none, bad lines: nothing is queued or spent."""
    manifest = tmp_path / "catalog.csv"
    manifest.write_text(works.catalog(3))
    request = PlanRequest(str(manifest), prompt="photo of {id}")
    environment = {**works.bench.environment, "confirm_above": 2.0}
    with Client(**environment) as client:
        with pytest.raises(ConfigurationError, match="give the request a budget, or say yes=True"):
            client.submit(request)
        with pytest.raises(ConfigurationError, match="a run's name is"):
            client.submit(PlanRequest(str(manifest), prompt="x", name="latest", budget=1))
        manifest.write_text("id,image\na,\n")
        with pytest.raises(ManifestError):
            client.submit(request, yes=True)
        assert client.runs() == []
        manifest.write_text(works.catalog(3))
        sandbox.control(latency=0.3)
        run = client.submit(PlanRequest(str(manifest), prompt="photo of {id}", budget=5))
        client.suspend("latest")
        works.stands(run.run_id, "operator")
        client.resume("latest")
        client.cancel("latest")
        assert list(client.watch("latest", every=0.05))[-1].status is RunStatus.CANCELLED
    with pytest.raises(ConfigurationError, match="there is no fleet"), Client():
        pass
