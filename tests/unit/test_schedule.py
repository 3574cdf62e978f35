"""When schedules fire, what a firing means beside an earlier run, and what is wrong in restyle.toml."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.reading import load_settings
from config.schedules import Schedule
from config.settings import Settings
from producers.manifest import ReadOptions
from producers.scheduling.schedule import Firing, Overlap, Standing, due, fire, is_of, latest, overlapping, upcoming
from restyle.coordination.suspensions import Suspension
from restyle.errors import ConfigurationError
from restyle.models import RunStatus


def schedule(cron: str = "15 2 * * *", **more: Any) -> Schedule:
    """A schedule in Berlin, where clocks change at 01:00 UTC on 2026-03-29 and 2026-10-25."""
    given: dict[str, Any] = {"name": "nightly", "time_zone": "Europe/Berlin", "manifest": "s3://b/p/", "prompt": "x"}
    return Schedule(cron=cron, **given | more)


def settings(*schedules: Schedule, grace: float = 60) -> Settings:
    """Settings with these schedules."""
    return load_settings(schedule=schedules, beat_grace=grace)


def at(text: str) -> datetime:
    """A time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "after", "times"),
    [
        # Each night at the same time of the clock, an hour earlier in UTC once summer time has begun.
        ("15 4 * * *", "2026-03-28T00:00", ["2026-03-28T03:15", "2026-03-29T02:15", "2026-03-30T02:15"]),
        # 02:30 is skipped on 29 March: it fires at the next valid minute, 03:00 summer time.
        ("30 2 * * *", "2026-03-28T02:00", ["2026-03-29T01:00", "2026-03-30T00:30"]),
        # 02:30 comes twice on 25 October: it fires at the first.
        ("30 2 * * *", "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
        # Looked at between the two: the second is not taken for another night.
        ("30 2 * * *", "2026-10-25T00:30", ["2026-10-26T01:30"]),
        ("30 2 * * *", "2026-10-25T01:10", ["2026-10-26T01:30"]),
        # What comes every hour comes every hour of real time.
        ("30 * * * *", "2026-10-24T23:45", ["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30"]),
        ("0 3 * * 1-5", "2026-01-02T12:00", ["2026-01-05T02:00", "2026-01-06T02:00"]),
        ("0 0 29 2 *", "2026-01-01T00:00", ["2028-02-28T23:00"]),
    ],
)
def test_times(cron: str, after: str, times: list[str]) -> None:
    """The times of a schedule in its zone, around the changes of the clock."""
    assert list(islice(upcoming(schedule(cron), at(after)), len(times))) == [at(text) for text in times]


@pytest.mark.parametrize(
    ("looked", "now", "catch_up", "fired"),
    [
        (None, "2026-01-10T01:15:01", False, None),  # a new schedule waits for its next time
        ("2026-01-10T01:14:59", "2026-01-10T01:15:00", False, ("2026-01-10T01:15", False)),
        ("2026-01-10T01:15:00", "2026-01-10T01:16:00", False, None),  # looked at already
        ("2026-01-10T01:10:00", "2026-01-10T01:15:59", False, ("2026-01-10T01:15", False)),  # a short restart
        ("2026-01-10T01:10:00", "2026-01-10T01:17:00", False, ("2026-01-10T01:15", True)),
        ("2026-01-10T01:10:00", "2026-01-10T01:17:00", True, ("2026-01-10T01:15", False)),
        # Several nights were missed: one run makes good for them, under the last one's time.
        ("2026-01-05T12:00:00", "2026-01-10T12:00:00", True, ("2026-01-10T01:15", False)),
        ("2026-01-05T12:00:00", "2026-01-10T01:15:05", False, ("2026-01-10T01:15", False)),
        ("2026-01-10T12:00:00", "2026-01-10T11:00:00", True, None),  # a clock that went back
    ],
)
def test_due(looked: str | None, now: str, catch_up: bool, fired: tuple[str, bool] | None) -> None:
    """What fires, by how far was looked, and whether it counts as missed."""
    known = {"nightly": at(looked)} if looked else {}
    found = due(settings(schedule(catch_up=catch_up)), known, at(now))
    assert [(firing.at, firing.missed) for firing in found] == ([(at(fired[0]), fired[1])] if fired else [])


@hypothesis.settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(["15 2 * * *", "*/7 * * * *", "30 2 * * 0", "0 3 1 * *"]),
    st.datetimes(datetime(2026, 3, 25), datetime(2026, 4, 2)),  # noqa: DTZ001 - hypothesis wants them without zone
    st.timedeltas(timedelta(seconds=1), timedelta(days=3)),
)
def test_the_latest_is_the_last_of_all(cron: str, since: datetime, span: timedelta) -> None:
    """Looking back in steps finds what counting from the beginning finds."""
    begin = since.replace(tzinfo=UTC)
    passed = []
    for moment in upcoming(schedule(cron), begin):
        if moment > begin + span:
            break
        passed.append(moment)
    assert latest(schedule(cron), begin, begin + span) == (passed[-1] if passed else None)


def suspended(reason: str, scope: Any = "run") -> Suspension:
    """A suspension of this reason."""
    return Suspension(scope, reason, "", 0.0, 0.0, "")


@pytest.mark.parametrize(
    ("overlap", "earlier", "follows"),
    [
        ("skip", [], Overlap.START),
        ("skip", [Standing("r", RunStatus.RUNNING)], Overlap.SKIP),
        ("queue", [Standing("r", RunStatus.RUNNING)], Overlap.WAIT),
        ("cancel", [Standing("r", RunStatus.RUNNING)], Overlap.START),
        # Its own limit, a person or an empty account ended it: no longer going, whatever overlap says.
        *[
            (overlap, [Standing("r", RunStatus.RUNNING, [suspended(reason)])], Overlap.START)
            for overlap in ("skip", "queue")
            for reason in ("budget", "deadline", "operator", "interrupted", "no_credits", "unauthorized")
        ],
        # An outage is sat out: it goes on by itself.
        ("skip", [Standing("r", RunStatus.RUNNING, [suspended("outage", "fleet")])], Overlap.SKIP),
        ("queue", [Standing("r", RunStatus.RUNNING, [suspended("outage"), suspended("budget")])], Overlap.START),
    ],
)
def test_overlap(overlap: str, earlier: list[Standing], follows: Overlap) -> None:
    """What a firing means while an earlier run of its schedule is unfinished."""
    firing = fire(schedule(overlap=overlap), at("2026-01-10T01:15"), settings())
    assert overlapping(firing, earlier) is follows


@pytest.mark.parametrize(
    ("finish_by", "fired", "deadline"),
    [
        ("06:30", "2026-01-10T01:15", "2026-01-10T05:30"),
        ("06:30", "2026-01-10T05:30", "2026-01-11T05:30"),  # fired at that very time: the next day's
        ("01:00", "2026-01-10T23:00", "2026-01-11T00:00"),
        ("02:30", "2026-03-28T12:00", "2026-03-29T01:00"),
        ("02:30", "2026-10-24T12:00", "2026-10-25T00:30"),
    ],
)
def test_finish_by_is_the_first_after_the_firing(finish_by: str, fired: str, deadline: str) -> None:
    """A time of day in the schedule's zone, by the rules of cron at the changes of the clock."""
    assert schedule(finish_by=finish_by).deadline(at(fired)) == at(deadline)


def test_a_firing_carries_all_that_its_run_needs() -> None:
    """As JSON and back: the worker needs no restyle.toml; the run's id is the time and the name."""
    made = schedule(set={"strength": 0.5, "base64": True}, budget=5, finish_by="06:00", priority="low")
    firing = fire(made, at("2026-01-10T01:15"), load_settings(defaults={"samples": 2}, max_side=512))
    assert Firing.model_validate_json(firing.model_dump_json(by_alias=True)) == firing
    assert firing.run_id == "20260110T011500Z-nightly"
    assert is_of(firing.run_id, "nightly")
    assert not is_of(firing.run_id, "night")
    assert (firing.settings["defaults"], firing.settings["max_side"]) == ({"samples": 2}, 512)
    request = firing.request
    assert (list(request.sets), request.budget, request.priority) == (["strength=0.5", "base64=true"], 5, "low")
    assert request.finish_by == at("2026-01-10T05:00")
    read: dict[str, Any] = {
        "sheet": "S",
        "items": "i",
        "feed": "none",
        "images": "s3://b/p/",
        "id": "{a}",
        "namespace": "n",
    }
    made = schedule(**read, column={"image": "Foto"}, refetch="never")
    request = Firing.model_validate_json(
        fire(made, at("2026-01-10T01:15"), load_settings()).model_dump_json(by_alias=True)
    ).request
    assert (request.read, request.columns, request.refetch) == (ReadOptions(**read), {"image": "Foto"}, "never")


GOOD = {"name": "nightly", "cron": "15 2 * * *", "time_zone": "UTC", "manifest": "s3://shop/images/"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"cron": "15 2 * *"}, "[[schedule]] nightly: cron: has five fields"),
        ({"cron": "61 2 * * *"}, "[[schedule]] nightly: cron: Bad minute"),
        ({"cron": "0 0 31 2 *"}, "[[schedule]] nightly: cron: Bad day-of-month"),
        ({"cron": "@daily"}, "[[schedule]] nightly: cron: has five fields"),
        ({"time_zone": "Europe/Berlino"}, "'Europe/Berlino' is no time zone"),
        ({"time_zone": None}, "[[schedule]] nightly: time_zone: is missing"),
        ({"manifest": "images/"}, "'images/' is no s3:// URI"),
        ({"finish_by": "6:30"}, "finish_by: is a time of day as HH:MM"),
        ({"finishby": "06:30"}, "[[schedule]] nightly: finishby: unknown key; did you mean finish_by?"),
        ({"refetch": "often"}, "refetch: Input should be 'never', 'changed' or 'always'"),
        ({"images": "pictures/"}, "images: 'pictures/' is no s3:// URI"),
        ({"overlap": "wait"}, "overlap: Input should be 'skip', 'queue' or 'cancel'"),
        ({"prompt": "x", "variants": "s3://b/v.json"}, "give it or variants, not both"),
        ({"name": "a b"}, "[[schedule]] a b: name: is 1-64 of A-Z a-z 0-9"),
        ({"notify": {"webhok": "https://x"}}, "notify.webhok: unknown key; did you mean webhook?"),
        ({"notify": {"webhook": "ftp://x"}}, "notify.webhook: is an http:// or https:// address"),
        ({"notify": {"email": {"too": ["a@b.c"]}}}, "did you mean to?"),
        ({"notify": {"email": {"to": ["a@b.c"], "host": "m"}}}, "notify.email: host is a setting of the workers now"),
    ],
)
def test_what_is_wrong_is_told_in_the_files_words(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    """With the file, the schedule, the key, and the nearest key that there is."""
    table = {name: value for name, value in (GOOD | change).items() if value is not None}
    lines = ["[[schedule]]", *(f"{name} = {_toml(value)}" for name, value in table.items())]
    Path("restyle.toml").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert told in caught.value.message
    assert caught.value.message.startswith("restyle.toml: ")


@pytest.mark.parametrize(
    ("name", "is_good"),
    [("latest", False), ("2026", False), ("20260131T120000Z-x", False), ("20260131T", False), ("0", False),
     ("latest-night", True), ("123456789", True), ("2026-nightly", True), ("24h", True), ("Latest", True)],
)  # fmt: skip
def test_a_name_means_the_schedule(name: str, is_good: bool) -> None:
    """What stands for the newest run, or begins an id of one, is no schedule's: its runs were never found by it."""
    Path("restyle.toml").write_text(
        "[[schedule]]\n" + "\n".join(f"{key} = {_toml(value)}" for key, value in (GOOD | {"name": name}).items())
    )
    if is_good:
        assert load_settings().schedule[0].name == name
        return
    with pytest.raises(ConfigurationError, match="would be taken for a run"):
        load_settings()


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(part)}" for name, part in value.items()) + "}"
    return repr(value).replace("'", '"')


def test_names_are_unique() -> None:
    """Also where only case differs: keys lie in folders of systems that ignore it."""
    Path("restyle.toml").write_text(
        "\n".join(f'[[schedule]]\nname = "{name}"\ncron = "0 1 * * *"\ntime_zone = "UTC"\nmanifest = "s3://b/p/"\n'
                  for name in ("night", "Night")),
        encoding="utf-8",
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match="two schedules are named Night"):
        load_settings()


@pytest.mark.parametrize("name", ["notify_secret", "notify_slack", "smtp_password"])
def test_secrets_are_refused_in_the_file(name: str) -> None:
    """They come by the environment."""
    Path("restyle.toml").write_text(f'{name} = "x"', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=f"no secret belongs .*; use RESTYLE_{name.upper()}"):
        load_settings()


def test_a_schedule_has_brakes_of_its_own() -> None:
    """What it does not say is the beat's setting; what it says wrongly is told with its name."""
    firing = fire(schedule(max_failures="10%"), at("2026-01-10T01:15"), load_settings(max_suspects="5"))
    assert (firing.settings["max_failures"], firing.settings["max_suspects"]) == ("10%", "5")
    lines = [f'{name} = "{value}"' for name, value in {**GOOD, "max_suspects": "half"}.items()]
    Path("restyle.toml").write_text("\n".join(["[[schedule]]", *lines]))
    with pytest.raises(ConfigurationError, match=r"nightly: max_suspects: 'half' is neither a number of jobs"):
        load_settings()
