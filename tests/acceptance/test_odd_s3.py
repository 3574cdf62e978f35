"""S3 behind gateways that throttle, hang up and say more than they must: the real command and real workers."""

from __future__ import annotations

import io
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from apps.sandbox.styles import restyle
from restyle.record import Record
from tests.acceptance.conftest import FleetOf
from tests.support.catalog import picture, write_catalog
from tests.support.gateway import Gateway, each_ninth, running_gateway, throttles_each_third
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance


@pytest.fixture
def gateway(s3: S3) -> Iterator[Gateway]:
    """What stands between everybody and S3."""
    with running_gateway(s3.port) as found:
        yield found


def is_of_its_own_picture(output: bytes, record: Record, name: str) -> bool:
    """Whether a picture is what the sandbox makes of this entry's, pixel by pixel."""
    (made,) = restyle(picture(name), record.params, record.params.seed)
    with Image.open(io.BytesIO(output)) as found, Image.open(io.BytesIO(made)) as expected:
        return found.tobytes() == expected.tobytes()


@pytest.mark.long
@pytest.mark.parametrize("jobs", [24, 160])
def test_each_job_has_its_own_picture(fleet: FleetOf, sandbox: SandboxServer, gateway: Gateway, jobs: int) -> None:
    """Informational answers, heads in pieces, closed connections and 503, each before each ninth answer: no harm."""
    gateway.plan = each_ninth
    ids = write_catalog(fleet.command.folder, jobs)
    odd = fleet.with_settings(AWS_ENDPOINT_URL_S3=gateway.url, RESTYLE_CONCURRENCY="16")
    with odd.worker(), odd.worker():
        done = fleet.finished(odd.submit(), within=120)
    assert (done["succeeded"], done["failed"], done["in_doubt"]) == (jobs, 0, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (jobs, {})
    for name in ids:
        record = Record.read(fleet.store.get(fleet.workspace.record(name, "default")).data)
        output = fleet.store.get(record.outputs[0].uri)
        assert (record.id, output.metadata["fingerprint"]) == (name, record.fingerprint.token)
        assert is_of_its_own_picture(output.data, record, name), f"{name} has another entry's picture"
    assert min(gateway.answered[kind] for kind in ("informational", "split", "close", "throttle")) > jobs / 8


@pytest.mark.long
@pytest.mark.parametrize("jobs", [5, 60])
def test_commands_sit_out_an_s3_that_throttles(
    fleet: FleetOf, sandbox: SandboxServer, gateway: Gateway, tmp_path: Path, jobs: int
) -> None:
    """503 to each third request: none of them gives up, each says a word at most, and all the work is done."""
    gateway.plan = throttles_each_third
    write_catalog(fleet.command.folder, jobs)
    slow = fleet.with_settings(AWS_ENDPOINT_URL_S3=gateway.url)
    with slow.worker():
        ended = [slow.command("submit", "manifest.csv", "--prompt", "photo of {id}", "--yes")]
        run_id = ended[0].out.strip()
        if jobs > 5:
            ended += [slow.command("watch", run_id), slow.command("report", run_id)]
        assert fleet.finished(run_id, within=60)["succeeded"] == jobs
    ended.append(slow.command("download", run_id, str(tmp_path / "pictures")))
    assert len(list((tmp_path / "pictures").rglob("*.jpg"))) == jobs
    assert (sandbox.charged, sandbox.paid_twice) == (jobs, {})
    for done in ended:
        assert done.err.count("waiting for it") <= 1, done


@pytest.mark.long
def test_a_command_waits_with_a_word_and_goes_on(fleet: FleetOf, gateway: Gateway) -> None:
    """Uploads that S3 answers with nothing but 503 begin again where they were, once it answers."""
    throttling = {"on": False}
    gateway.plan = lambda _number: "throttle" if throttling["on"] else ""
    write_catalog(fleet.command.folder, 10)
    command = fleet.with_settings(AWS_ENDPOINT_URL_S3=gateway.url).command
    throttling["on"] = True
    with command.started("submit", "manifest.csv", "--prompt", "photo of {id}", "--yes", "--json") as process:
        assert process.stderr is not None
        assert process.stdout is not None
        told = process.stderr.readline()
        throttling["on"] = False
        out, err = process.communicate(timeout=60)
    assert "S3 answers 503 SlowDown; waiting for it, up to" in told
    assert process.returncode == 0, err
    assert json.loads(out)["planned"] == 10


@pytest.mark.long
def test_ctrl_c_ends_the_wait_at_once(fleet: FleetOf, gateway: Gateway) -> None:
    """Whatever the command waits for, in how many threads ever."""
    gateway.plan = lambda number: "throttle" if number > 3 else ""
    write_catalog(fleet.command.folder, 30)
    command = fleet.with_settings(AWS_ENDPOINT_URL_S3=gateway.url).command
    with command.started("submit", "manifest.csv", "--prompt", "photo of {id}", "--yes") as process:
        assert process.stderr is not None
        assert any("waiting for it" in line for line in iter(process.stderr.readline, ""))
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        wait_until(lambda: process.poll() is not None, timeout=10, description="the end of the command")
    assert time.monotonic() - begun < 8
    assert process.returncode == 130
