"""Outputs copied as they arrive: each once, from open shards and closed ones, and none lost to a fault."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reports.copies.download import INDEX
from reports.copies.mirror import Mirror
from restyle.errors import RestyleError
from restyle.models import Run
from restyle.s3.store import Endpoint, Store
from tasks.image import restyle_image
from tests.integration.test_outputs import manifest
from tests.support.bench import Bench, running_bench
from tests.support.proxy import running_proxy
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3


@pytest.fixture
def bench(s3: S3, redis_url: str, sandbox: SandboxServer) -> Iterator[Bench]:
    """A workspace and a worker of this test alone."""
    with running_bench(s3, redis_url, sandbox) as found:
        yield found


def mirror(bench: Bench, run: Run, folder: Path) -> Mirror:
    """A mirror that looks when it is told to."""
    here = bench.resources
    return Mirror(run, folder, store=here.store, workspace=here.workspace, progress=here.progress)


def files(folder: Path) -> set[str]:
    """The files in a folder but for the index."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {INDEX}


def test_pictures_come_as_jobs_end(bench: Bench, sandbox: SandboxServer, tmp_path: Path) -> None:
    """After each job its picture is there, under the template's name; what looks wrong is counted and left out."""
    sandbox.script("black", prompt_contains="bad")
    run = bench.begin(bench.plan(manifest(bench, "a", "bad", "c"), {"naming": "{variant}/{stem}"}))
    found = mirror(bench, run, tmp_path / "out")
    found.look()
    assert files(tmp_path / "out") == set()
    first, bad, last = bench.messages(run)
    bench.resources.tools.fleet.heartbeat({})
    restyle_image(bench.resources, first)
    found.look()
    assert files(tmp_path / "out") == {"default/a.jpg"}
    assert (tmp_path / "out/default/a.jpg").read_bytes() == bench.output("a").data
    for message in (bad, last):
        restyle_image(bench.resources, message)
    found.look()
    found.look()
    assert files(tmp_path / "out") == {"default/a.jpg", "default/c.jpg"}
    assert found.counts == {"copied": 2, "suspect": 1}


def test_a_shard_that_closed_in_between(bench: Bench, tmp_path: Path) -> None:
    """What ended since the last look is found in the results, where its shard has closed meanwhile."""
    run = bench.begin(bench.plan(manifest(bench, "a", "b")))
    found, here = mirror(bench, run, tmp_path / "out"), bench.resources
    messages = list(bench.messages(run))
    here.tools.fleet.heartbeat({})
    restyle_image(here, messages[0])
    found.look()
    restyle_image(here, messages[1])
    bench.close(run)
    assert not here.progress.open_shards(run.run_id)
    found.look()
    assert files(tmp_path / "out") == {"a/default.jpg", "b/default.jpg"}
    assert found.counts == {"copied": 2}


def test_s3_away_in_between(s3: S3, redis_url: str, sandbox: SandboxServer, tmp_path: Path) -> None:
    """A picture that could not be copied is copied at a later look."""
    with running_proxy(s3.port) as proxy, running_bench(s3, redis_url, sandbox) as bench:
        run = bench.begin(bench.plan(manifest(bench, "a", "b")))
        far = Store(embedded=Endpoint(f"http://127.0.0.1:{proxy.port}", s3.access_key, s3.secret_key))
        here = bench.resources
        found = Mirror(run, tmp_path / "out", store=far, workspace=here.workspace, progress=here.progress)
        found.look()
        bench.work(run)
        proxy.cut()
        with pytest.raises(RestyleError):
            found.look()
        proxy.mend()
        found.look()
        far.close()
        assert files(tmp_path / "out") == {"a/default.jpg", "b/default.jpg"}


def test_a_folder_that_cannot_be_written(bench: Bench, tmp_path: Path) -> None:
    """The copying ends with its reason, once the run is followed no more, and the run is none the worse."""
    run = bench.begin(bench.plan(manifest(bench, "a")))
    found = mirror(bench, run, tmp_path / "out")
    (tmp_path / "out" / INDEX).mkdir()
    bench.work(run)
    found.start()
    found.stop()
    assert INDEX in found.trouble
    assert bench.record("a").job_id
