"""Why jobs failed: equal failures are one reason, with some of their jobs, in the report, `status` and messages."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from apps.cli.runs import failures, follow
from apps.session import Session, connect
from apps.stack.home import Home
from apps.stack.local import Stack
from producers.runs.reasons import MOST, WORDS, Reason, Reasons, reasons_of
from producers.runs.snapshot import read_run
from reports.notifications import Notifications
from restyle.models import Job, Outcome, OutcomeKind
from tests.support.receiver import receiving
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.works import Works, running_works


@pytest.fixture
def works(s3: S3, redis_url: str, sandbox: SandboxServer) -> Iterator[Works]:
    """A small fleet."""
    with running_works(s3, redis_url, sandbox) as found:
        yield found


def session_of(works: Works) -> Session:
    """The workspace as a command sees it."""
    here = works.resources
    return connect(here.settings, here.store, Stack(here.settings, Home(here.settings.home, 1.0)), embedded=False)


def failed(works: Works, sandbox: SandboxServer, **more: Any) -> str:
    """A run of nine: five inputs are gone, one request is rejected; its id."""
    rows = works.catalog(9)
    here = works.resources
    for number in range(5):
        here.store.delete(here.workspace.under("in", f"item-{number:03d}.jpg"))
    sandbox.script(400, prompt_contains="item-007")
    run_id = works.submit(rows, **more)
    assert works.ended(run_id).failed == 6
    return run_id


def test_equal_failures_are_one_reason_wherever_it_is_told(
    works: Works, sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """In report.json, at the end of a run, in its JSON, and in a message: how many, three of them, and what helps."""
    with receiving() as receiver:
        settings = works.resources.settings
        run_id = failed(works, sandbox, notify={"webhook": receiver.url})
        here = works.resources
        report = json.loads(here.store.get(here.workspace.run(run_id, "report.json")).data)
        missing, rejected = report["reasons"]
        assert (missing["error"], missing["count"]) == ("input_not_found", 5)
        assert len(missing["examples"]) == 3
        assert all(example.startswith("item-00") for example in missing["examples"])
        assert "item-" not in missing["message"]
        assert (rejected["error"], rejected["count"], rejected["examples"]) == (
            "request_rejected", 1, ["item-007/default"],
        )  # fmt: skip

        command = session_of(works)
        why = follow.tell(works.look(run_id), command)
        told = capsys.readouterr().err
        assert [reason.model_dump(mode="json") for reason in why] == report["reasons"]
        assert "5 failed, input_not_found: " in told
        assert "next (input_not_found): put the pictures where the manifest says" in told
        assert "restyle retry" not in told  # neither can succeed as it was planned
        command.state.close()

        listed = settings.model_copy(update={"notify_hosts": receiver.url.rpartition("/")[0]})
        there = Notifications(listed, here.workspace, here.store, here.progress, here.tools.fleet)
        there.send_due()
        ((_, body),) = receiver.came
        payload = json.loads(body)
        assert payload["reasons"] == report["reasons"]
        assert "\n5 input_not_found: " in payload["text"]
        assert payload["next"].startswith("put the pictures")


def test_what_may_succeed_as_it_was_planned_is_told_to_be_tried_again(works: Works, sandbox: SandboxServer) -> None:
    """A run without a report is read through: an API that was down is no fault of the pictures."""
    sandbox.script(*[500] * 20, prompt_contains="item-001")
    run_id = works.submit(works.catalog(12))
    assert works.ended(run_id).failed == 1
    command, said = session_of(works), list[str]()
    now = works.look(run_id)
    command.store.delete(command.workspace.run(run_id, "report.json"))
    why = failures.reasons(now, command)
    failures.tell(why, now, said.append)
    assert said[-1] == f"next (api_unavailable): to run them again: restyle retry {run_id} --error api_unavailable"
    command.state.close()


def outcome(message: str, error: str = "invalid_image") -> Outcome:
    """One failure."""
    return Outcome(outcome=OutcomeKind.FAILED, error=error, message=message)


def a_job(entry: str) -> Job:
    """A job of this entry."""
    return Job.model_validate(
        {"id": entry, "variant": "oak", "image": "s3://b/a.jpg", "output": "s3://b/o.jpg", "params": {"prompt": "p"}}
    )


def test_what_differs_between_equal_messages_is_left_out() -> None:
    """Places, ids and numbers; a status that differs is another reason; other jobs' words stay within bounds."""
    reasons = Reasons()
    reasons.add(a_job("mug"), outcome("mug has 12,000 x 9 px at s3://shop/mug.jpg, too many\nTraceback"))
    reasons.add(a_job("cup"), outcome("cup has 40,000 x 9 px at s3://shop/cup.jpg, too many"))
    reasons.add(a_job("jug"), outcome("\x1b[31m" + "w" * 9_000))
    reasons.add(a_job("pan"), outcome("no", "api_unavailable").model_copy(update={"http_status": 500}))
    reasons.add(a_job("pot"), outcome("no", "api_unavailable").model_copy(update={"http_status": 503}))
    reasons.add(a_job("can"), None)
    pixels, odd, *statuses = reasons.ranked()
    assert pixels.message == "… has … x 9 px at s3://shop/….jpg, too many"
    assert (pixels.count, pixels.examples) == (2, ("mug/oak", "cup/oak"))
    assert len(odd.message) <= WORDS
    assert "\x1b" not in odd.message
    assert [reason.count for reason in statuses] == [1, 1]


def test_a_million_failures_take_no_more_memory_than_a_thousand() -> None:
    """Beyond so many reasons they count by their error alone."""
    words = ["".join(chr(97 + number // 26**place % 26) for place in range(3)) for number in range(3_000)]
    reasons = Reasons()
    jobs = [a_job(f"item-{number}") for number in range(10)]
    tracemalloc.start()
    for number in range(4_000):
        reasons.add(jobs[number % 10], outcome(words[number % 3_000] * 500))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reasons.ranked()[0].count > 3_000
    assert len(reasons._groups) == MOST + 1
    assert peak < 1_000_000


def test_a_report_of_another_version_is_read_as_far_as_it_goes(works: Works, sandbox: SandboxServer) -> None:
    """What is no reason in it is passed over; a run whose rows cannot be read has none, and no command fails for it."""
    run_id = failed(works, sandbox)
    here = works.resources
    run = read_run(run_id, store=here.store, workspace=here.workspace)
    good = {"error": "bug", "message": "x", "count": 1, "examples": ["a/b"]}
    told = {"reasons": [good, {"error": 1}, "x", good | {"message": "x" * 9_000}]}
    here.store.put(here.workspace.run(run_id, "report.json"), json.dumps(told).encode(), content_type="a/json")

    def rows() -> Iterator[tuple[Job, Outcome | None]]:
        raise AssertionError("the report says it")

    assert reasons_of(run, rows, store=here.store, workspace=here.workspace) == [Reason.model_validate(good)]
    here.store.delete(here.workspace.run(run_id, "report.json"))
    here.store.put(here.workspace.results(run_id, 0), b"no gzip", content_type="application/gzip")
    begun = time.monotonic()
    assert reasons_of(run, works.bench.rows(run), store=here.store, workspace=here.workspace) == []
    assert time.monotonic() - begun < 5
