"""What a run may be called and labelled with, by the command line, a schedule, and run.json."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from apps.cli import options
from config.schedules import Schedule
from config.settings import Settings
from producers.scheduling.schedule import Firing, fire
from restyle.errors import ConfigurationError
from restyle.models import PROMPT_HEAD, ManifestSource, Run, RunOptions, utc_now

BAD_NAMES = ["latest", "2026", "-x", "a b", "a/b", "a" * 65, "ä", "a\n", "../x"]
BAD_LABELS = ["team", "=x", "1=x", "te am=x", "team=", "team= x", "team=x\n", "team=\x1b[1m", "team=" + "x" * 101]


def a_run(**more: Any) -> Run:
    """A run."""
    return Run(
        run_id="20260131T080000Z-aaaaaa", status="running", created=datetime(2026, 1, 31, tzinfo=UTC), shards=1,
        planned=1, manifest=ManifestSource(uri="s3://shop/c.csv", sha256="0"), plan_digest="0", options=RunOptions(),
        **more,
    )  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_could_be_taken_for_something_else_is_refused(name: str) -> None:
    """For an id, for `latest`, for a path: on the command line in a sentence, and in run.json too."""
    with pytest.raises(ConfigurationError, match="--name: a run's name is"):
        options.request_from("x.csv", name=name)
    with pytest.raises(ValidationError):
        a_run(name=name)


@pytest.mark.parametrize("label", BAD_LABELS)
def test_a_label_that_is_none_is_refused(label: str) -> None:
    """On the command line in a sentence, and in run.json too."""
    with pytest.raises(ConfigurationError, match="--label"):
        options.labels_from([label])
    name, equals, value = label.partition("=")
    if equals:
        with pytest.raises(ValidationError):
            a_run(labels={name: value})


def test_there_are_twenty_labels_at_most() -> None:
    """So that run.json, and every list of runs, stays small."""
    texts = [f"l{number}=x" for number in range(21)]
    assert len(options.labels_from(texts[:20])) == 20
    with pytest.raises(ConfigurationError, match="20 labels at most"):
        options.labels_from(texts)


def test_a_schedules_labels_are_its_runs() -> None:
    """They are checked where restyle.toml is read."""
    given = {"name": "nightly", "cron": "15 2 * * *", "time_zone": "UTC", "manifest": "s3://shop/", "prompt": "x"}
    schedule = Schedule.model_validate(given | {"labels": {"team": "home"}})
    firing = Firing.model_validate_json(fire(schedule, utc_now(), Settings()).model_dump_json(by_alias=True))
    assert firing.request.labels == {"team": "home"}
    with pytest.raises(ValidationError, match="the value of label team"):
        Schedule.model_validate(given | {"labels": {"team": ""}})


def test_a_run_keeps_the_head_of_its_prompt_on_one_line() -> None:
    """However long it is."""
    assert a_run(prompt="on\noak").prompt == "on oak"
    head = a_run(prompt="word " * 10_000).prompt
    assert len(head) == PROMPT_HEAD
    assert head.endswith("…")
    assert Run.model_validate_json(a_run(prompt=head).model_dump_json()).prompt == head
