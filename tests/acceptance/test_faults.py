"""An API that answers wrongly: what is retried, what fails one job, and what is never stored."""

from __future__ import annotations

import csv
import io

import pytest

from tests.acceptance.conftest import Alone
from tests.support.catalog import write_catalog
from tests.support.sandbox import SandboxServer

pytestmark = pytest.mark.acceptance

RUN = ("run", "manifest.csv", "--prompt", "photo of {id}", "--yes", "--json")


def report(alone: Alone, run_id: str, *statuses: str) -> dict[str, dict[str, str]]:
    """A run's report by id."""
    options = [word for status in statuses for word in ("--status", status)]
    text = alone.command("report", run_id, *options).out
    return {row["id"]: row for row in csv.DictReader(io.StringIO(text))}


@pytest.mark.long
def test_passing_faults_are_retried_and_lasting_ones_fail_their_job_alone(alone: Alone, sandbox: SandboxServer) -> None:
    """500, 500, 200 is one output after 3 attempts; 400 fails at once; exhausted retries fail one job; retry redoes."""
    ids = write_catalog(alone.folder, 12)
    sandbox.script(500, 500, 200, prompt_contains=ids[0])
    sandbox.script(400, prompt_contains=ids[1])
    for name, fault in zip(ids[2:7], ("reset", "truncated", "html", "garbage", "empty"), strict=True):
        sandbox.script(fault, 200, prompt_contains=name)
    sandbox.script(*[503] * 5, prompt_contains=ids[7])
    done = alone.command(*RUN, expect=1).json
    assert (done["status"], done["succeeded"], done["failed"], done["pending"]) == ("finished", 10, 2, 0)
    records, outputs = alone.records(), alone.outputs()
    assert records[f"{ids[0]}/default"]["api"]["attempts"] == 3
    assert set(outputs) == {f"{name}/default.jpg" for name in ids if name not in {ids[1], ids[7]}}
    for name in ids[2:7]:
        assert records[f"{name}/default"]["api"]["attempts"] == 2
        assert outputs[f"{name}/default.jpg"].startswith(b"\xff\xd8\xff")
    failed = report(alone, done["run_id"], "failed")
    assert set(failed) == {ids[1], ids[7]}
    assert (failed[ids[1]]["error"], failed[ids[1]]["http_status"], failed[ids[1]]["attempts"]) == (
        "request_rejected", "400", "1",
    )  # fmt: skip
    assert failed[ids[1]]["message"]
    assert (failed[ids[7]]["error"], failed[ids[7]]["attempts"]) == ("api_unavailable", "5")

    before = sandbox.calls
    again = alone.command("retry", done["run_id"], "--yes", "--json").json
    assert (again["planned"], again["succeeded"], again["failed"]) == (2, 2, 0)
    assert sandbox.calls == before + 2
    assert set(alone.outputs()) == {f"{name}/default.jpg" for name in ids}
    # A paid answer that could not be read is paid for again; all else is paid for once.
    assert len(sandbox.paid_twice) == 4


def test_a_lost_answer_is_called_again_once_and_then_parked(alone: Alone, sandbox: SandboxServer) -> None:
    """A reset after the request was sent is in doubt: counted, called once more, then left to a person."""
    ids = write_catalog(alone.folder, 3)
    sandbox.script("reset", 200, prompt_contains=ids[0])
    sandbox.script("reset", "reset", 200, prompt_contains=ids[1])
    done = alone.command(*RUN, expect=1).json
    assert (done["succeeded"], done["failed"], done["in_doubt"]) == (2, 1, 3)
    failed = report(alone, done["run_id"], "failed")
    assert (failed[ids[1]]["error"], failed[ids[1]]["in_doubt"]) == ("in_doubt", "2")
    assert alone.records()[f"{ids[0]}/default"]["api"]["in_doubt"] == 1
