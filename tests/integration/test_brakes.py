"""Brakes on a real Valkey: what fails alike or looks wrong stops its variant, and in the end the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from restyle.coordination.claim_types import Dropped
from restyle.coordination.fleet import Fleet
from restyle.coordination.redis.client import State
from restyle.coordination.runs.brakes import brakes
from restyle.coordination.runs.progress import Ended, Progress, failed
from restyle.errors import ApiUnavailable, RunUnreadable
from restyle.models import Message, OutcomeKind, Run
from tests.integration.test_fleet import (  # noqa: F401 - fixtures
    DONE,
    RUN,
    WORKSPACE,
    a_message,
    a_run,
    claim,
    progress,
    state,
    worker,
)
from tests.support.catalog import write_variants
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.wait import wait_until
from tests.support.works import Works, running_works
from workers.background.dispatcher import Dispatcher

GOOD = DONE
REFUSED = failed("request_rejected", "HTTP 400: prompt is not allowed")
MISSING = failed("input_not_found", "there is no such object")
BRAKED = '{"reason": "failing", "detail": "all of them"}'
BLACK = Ended(DONE.outcome.model_copy(update={"suspect": ("black",)}), calls=1, wrote_record=True)
SKIPPED = Ended(DONE.outcome.model_copy(update={"outcome": OutcomeKind.SKIPPED, "suspect": ("black",)}))

#: Ends so many jobs of a variant, one after the other.
Ending = Callable[..., None]


def of_variant(index: int, variant: str) -> Message:
    """A message of another variant."""
    message = a_message(index)
    job = message.job.model_copy(update={"variant": variant})
    return message.model_copy(update={"job": job, "job_id": WORKSPACE.job_id(job.id, variant)})


def limited(variants: int = 1, limits: Mapping[str, str] | None = None) -> Run:
    """A run of so many variants, with these limits."""
    run = a_run(planned=400)
    return run.model_copy(update={"variants": variants, "options": run.options.model_copy(update=limits or {})})


@pytest.fixture
def ending(state: State, progress: Progress, worker: Callable[..., Fleet]) -> Ending:  # noqa: F811 - fixtures of test_fleet
    """Ends jobs as they are told."""
    fleet, done = worker(), iter(range(10_000))

    def end(how: Iterable[Ended], variant: str = "v") -> None:
        for ended in how:
            index = next(done)
            progress.report(fleet, of_variant(index, variant), f"t{index}", ended)

    return end


def test_half_failed_alike_stops_the_run(progress: Progress, ending: Ending) -> None:  # noqa: F811 - fixtures of test_fleet
    """Not before twenty have ended; the detail counts, quotes the error and names examples; every claim is refused."""
    progress.register(limited())
    ending([GOOD, REFUSED] * 9 + [GOOD])
    assert not progress.suspensions(RUN)
    ending([GOOD])
    assert not progress.suspensions(RUN), "one that went well stops nothing"
    ending([REFUSED] * 2)
    (standing,) = progress.suspensions(RUN)
    assert standing.reason == "failing"
    assert standing.detail == (
        "11 of the last 22 jobs of variant v failed alike: request_rejected, such as sku-21, sku-20, sku-17;"
        " HTTP 400: prompt is not allowed"
    )
    assert "restyle resume" in standing.next


def test_only_the_last_fifty_count(progress: Progress, ending: Ending) -> None:  # noqa: F811 - fixtures of test_fleet
    """What went well hours ago does not hide that half of the last jobs fail; a fifth of failures stops nothing."""
    progress.register(limited())
    ending([GOOD] * 80 + [REFUSED] * 24)
    assert not progress.suspensions(RUN)
    ending([REFUSED])
    assert progress.suspensions(RUN)[0].detail.startswith("25 of the last 50 jobs")


def test_different_errors_are_not_alike(progress: Progress, ending: Ending) -> None:  # noqa: F811 - fixtures of test_fleet
    """Forty jobs of which a third each failed for another reason go on."""
    progress.register(limited())
    ending([GOOD, REFUSED, MISSING] * 14)
    assert not progress.suspensions(RUN)


def test_half_suspect_stops_the_run(progress: Progress, ending: Ending) -> None:  # noqa: F811 - fixtures of test_fleet
    """Pictures that look wrong are counted apart from failures; what was done before, by a record, tells nothing."""
    progress.register(limited())
    ending([SKIPPED] * 60 + [REFUSED] * 5 + [GOOD] * 5 + [BLACK] * 9)
    assert not progress.suspensions(RUN)
    ending([BLACK])
    (standing,) = progress.suspensions(RUN)
    assert standing.reason == "suspect"
    assert standing.detail.startswith("10 of the last 20 pictures of variant v look wrong, such as sku-79, ")
    assert standing.detail.endswith("; black")


@pytest.mark.parametrize(
    ("limit", "how", "reason"),
    [
        ({"max_failures": "3"}, [GOOD] * 100 + [REFUSED, MISSING, REFUSED], "failing"),
        ({"max_suspects": "2"}, [BLACK] * 2, "suspect"),
        ({"max_failures": "90%"}, [GOOD] * 2 + [REFUSED] * 18, "failing"),
    ],
)
def test_limits_of_ones_own(
    progress: Progress, ending: Ending, limit: dict[str, str], how: list[Ended], reason: str  # noqa: F811 - fixtures of test_fleet
) -> None:  # fmt: skip
    """A number is of all jobs of the run, however they failed, from the first one on; a share is of the last ones."""
    progress.register(limited(limits=limit))
    ending(how[:-1])
    assert not progress.suspensions(RUN)
    ending(how[-1:])
    assert [standing.reason for standing in progress.suspensions(RUN)] == [reason]


def test_no_limit(progress: Progress, ending: Ending) -> None:  # noqa: F811 - fixtures of test_fleet
    """0 takes the brakes off."""
    progress.register(limited(limits={"max_failures": "0", "max_suspects": "0"}))
    ending([REFUSED] * 60 + [BLACK] * 60)
    assert not progress.suspensions(RUN)


def test_a_run_that_is_done_is_not_stopped(progress: Progress, ending: Ending) -> None:  # noqa: F811 - fixtures of test_fleet
    """However it went: its report is written, and nothing is left to resume."""
    progress.register(limited().model_copy(update={"planned": 20}))
    ending([REFUSED] * 20)
    assert not progress.suspensions(RUN)


def test_one_variant_of_two_stops_alone(
    state: State, progress: Progress, worker: Callable[..., Fleet], ending: Ending  # noqa: F811 - fixtures of test_fleet
) -> None:  # fmt: skip
    """Its jobs are refused at the claim, those in hand too; the other variant goes on, until it stops as well."""
    progress.register(limited(variants=2))
    one, two, other = of_variant(200, "neon"), of_variant(201, "neon"), of_variant(202, "oak")
    fleet = worker("w2")
    fleet.take(one, "held")
    ending([BLACK] * 20, "neon")
    ending([GOOD] * 20, "oak")
    assert not progress.suspensions(RUN)
    with pytest.raises(Dropped, match="braked"):
        claim(fleet, one, "held")
    with pytest.raises(Dropped, match="braked"):
        fleet.take(two, "t")
    fleet.take(other, "t")
    assert claim(fleet, other, "t") == "go"
    (brake,) = brakes(state, RUN)
    assert (brake.variant, brake.reason) == ("neon", "suspect")
    assert brake.detail.startswith("20 of the last 20 pictures of variant neon look wrong")
    ending([REFUSED] * 20, "oak")
    (standing,) = progress.suspensions(RUN)
    assert (standing.reason, "variant oak" in standing.detail) == ("failing", True)


def test_jobs_of_a_stopped_variant_are_no_others_that_can_tell(
    progress: Progress, worker: Callable[..., Fleet], ending: Ending  # noqa: F811 - fixtures of test_fleet
) -> None:  # fmt: skip
    """They are not called: the last jobs of another variant use up their attempts, however many of them are pending."""
    progress.register(limited(variants=2))
    ending([BLACK] * 20, "neon")
    fleet, last = worker("w2"), [of_variant(index, "oak") for index in (202, 203, 204)]
    for attempt in range(2):
        for message in last:
            token = f"{message.job_id}-{attempt}"
            fleet.take(message, token)
            granted = fleet.claim(message, token, looked=True, looked_at=time.monotonic())
            assert granted.verdict == "go"
            assert not fleet.call_failed(message, token, granted, ApiUnavailable("500", 500)).running
            fleet.release(message, token)


def test_a_person_lifts_the_brakes(
    state: State, progress: Progress, worker: Callable[..., Fleet], ending: Ending  # noqa: F811 - fixtures of test_fleet
) -> None:  # fmt: skip
    """From there on it is counted anew, and what is pending is fed again; a dispatcher's word lifts nothing."""
    run = limited(limits={"max_suspects": "30"})
    progress.register(run)
    ending([REFUSED] * 20 + [BLACK] * 29)
    progress.fed(RUN, 0)
    assert progress.agree(run, None, revision=progress.revision(RUN))
    assert progress.suspensions(RUN)
    assert progress.agree(run, None, lift=True)
    assert not progress.suspensions(RUN)
    assert not brakes(state, RUN)
    assert progress.open_shards(RUN)[0].fed == 0
    ending([GOOD] * 20 + [REFUSED] * 19 + [BLACK] * 10)
    assert not progress.suspensions(RUN), "twenty of those before do not count"
    fleet = worker("w2")
    fleet.take(of_variant(200, "v"), "t")
    assert claim(fleet, of_variant(200, "v"), "t") == "go"
    assert progress.agree(limited(limits={"max_failures": "1"}), None, revision=progress.revision(RUN))
    ending([REFUSED])
    assert progress.suspensions(RUN), "limits follow run.json"


def test_words_of_others_in_redis_stop_nothing(state: State, progress: Progress, ending: Ending) -> None:  # noqa: F811 - fixtures of test_fleet
    """What is no brake is passed over or told of as the run's trouble; nothing else of the run is lost."""
    progress.register(limited(variants=2))
    state.ask("HSET", state.key("run", RUN, "braked"), "neon", "no JSON")
    state.ask("HSET", state.key("run", RUN, "endings"), "v", "x" * 100_000)
    assert [(brake.variant, brake.reason) for brake in brakes(state, RUN)] == [("neon", "failing")]
    ending([REFUSED] * 20)
    assert {brake.variant for brake in brakes(state, RUN)} == {"neon", "v"}
    assert len(state.ask("HGET", state.key("run", RUN, "endings"), "v")) < 1_000
    state.ask("DEL", state.key("run", RUN, "endings"))
    state.ask("SET", state.key("run", RUN, "endings"), "a string")
    with pytest.raises(RunUnreadable):
        ending([REFUSED])
    assert not progress.is_sound(RUN), "and a resume rebuilds it"


# -- a whole fleet --------------------------------------------------------------------------------------------


@pytest.fixture
def three(tmp_path: Path) -> str:
    """A file of three variants."""
    variants = [{"name": name, "prompt": f"{name} {{id}}"} for name in ("bad", "oak", "sea")]
    return str(write_variants(tmp_path, variants))


@pytest.mark.long
def test_one_bad_variant_of_three_stops_that_variant_only(
    s3: S3, redis_url: str, sandbox: SandboxServer, three: str
) -> None:
    """However small the window, the others are done; then the run stands still, until a person takes the limit off."""
    sandbox.script(*["black"] * 40, prompt_contains="bad")
    with running_works(s3, redis_url, sandbox, window_jobs=8, refeed_after=0.3) as works:
        run_id = works.submit(works.catalog(34), prompt=None, variants=three)
        now = works.stands(run_id, "suspect")
        assert 20 <= now.suspect < 20 + 4, "those that were out may end"
        assert (now.succeeded - now.suspect, now.pending) == (68, 34 - now.suspect)
        assert [(brake.variant, brake.reason) for brake in now.braked] == [("bad", "suspect")]
        assert sandbox.calls == 68 + now.suspect
        works.control.resume(run_id, limits={"max_suspects": "0"})
        done = works.ended(run_id)
    assert (done.succeeded, done.suspect, done.braked, done.suspension) == (102, 34, (), None)
    assert (sandbox.calls, sandbox.paid_twice) == (102, {})


def rows_of(works: Works, bad: int, oak: int) -> str:
    """A manifest of so many rows of the bad variant, and as many of another behind them."""
    _, *rows = works.catalog(bad + oak).split()
    return "\n".join(["id,image,variant", *(f"{row},{'bad' if n < bad else 'oak'}" for n, row in enumerate(rows))])


@pytest.mark.parametrize(("most_braked", "done"), [(100_000, 10), pytest.param(60, 0, marks=pytest.mark.long)])
def test_others_behind_a_bad_variant_are_reached(
    s3: S3, redis_url: str, sandbox: SandboxServer, three: str, most_braked: int, done: int
) -> None:
    """Where all of its rows come first, its shards stay open beside those behind; no more of them than bearable."""
    sandbox.script(*["black"] * 40, prompt_contains="bad")
    with running_works(s3, redis_url, sandbox, window_jobs=8) as works:
        works.feeder.most_braked = most_braked
        run_id = works.submit(rows_of(works, 130, 10), prompt=None, variants=three)
        now = works.stands(run_id, "suspect")
    assert (now.succeeded - now.suspect, now.pending) == (done, 140 - now.succeeded)
    assert now.suspect < 20 + 4


def test_an_outage_is_probed_with_what_brakes_have_left(
    s3: S3, redis_url: str, sandbox: SandboxServer, three: str
) -> None:
    """Where all that is open is of a braked variant, the next shard is opened for the probe: one each time, not all."""
    with running_works(s3, redis_url, sandbox, idle=True, window_jobs=5) as works:
        here, state = works.resources, works.resources.state
        here.tools.fleet.heartbeat({})
        run_id = works.submit(rows_of(works, 10, 2), prompt=None, variants=three)
        state.ask("HSET", state.key("run", run_id, "braked"), "bad", BRAKED)
        here.tools.fleet.suspend("outage", "it is down", "a test")
        dispatcher = Dispatcher(here, works.feeder)
        for _ in range(4):
            dispatcher.tick()
        opened = [shard.shard for shard in here.progress.open_shards(run_id)]
        probe = state.ask("GET", f"{state.account}probe")
        jobs = {works.feeder.plans.job_id(line) for line in works.feeder.plans.lines(run_id, 2)}
    assert opened == [0, 1, 2]
    assert probe in jobs


def test_what_is_pending_is_looked_at_anew_where_outcomes_are_gone(
    s3: S3, redis_url: str, sandbox: SandboxServer, three: str
) -> None:
    """That nothing but braked jobs is left in a shard holds for the outcomes that it had."""
    with running_works(s3, redis_url, sandbox, idle=True, window_jobs=5) as works:
        here, state = works.resources, works.resources.state
        run_id = works.submit(rows_of(works, 4, 1), prompt=None, variants=three)
        state.ask("HSET", state.key("run", run_id, "braked"), "bad", BRAKED)
        key = state.key("run", run_id, "shard", "0")
        state.ask("HSET", key, "o:4", "{}", "n", "1")
        (shard,) = here.progress.open_shards(run_id)
        assert works.feeder.pending.callable(run_id, shard) == 0
        state.ask("HDEL", key, "o:4", "n")  # as a Redis has them that was rebuilt
        (shard,) = here.progress.open_shards(run_id)
        assert works.feeder.pending.callable(run_id, shard) == 1


@pytest.mark.long
def test_a_redis_that_is_lost_brakes_anew(s3: S3, redis_url: str, sandbox: SandboxServer, three: str) -> None:
    """A run that stands stays so; by a person's word it counts anew, and the bad variant stops after twenty more."""
    sandbox.script(*["black"] * 200, prompt_contains="bad")
    with running_works(s3, redis_url, sandbox, window_jobs=12) as works:
        run_id = works.submit(works.catalog(60), prompt=None, variants=three)
        before = works.stands(run_id, "suspect")
        progress = works.resources.progress
        wait_until(lambda: progress.suspensions(run_id)[0].is_stored, timeout=10, description="its suspension in S3")
        works.lose_everything()
        assert works.stands(run_id, "suspect").suspect == before.suspect
        works.control.resume(run_id)
        now = works.stands(run_id, "suspect")
        assert before.suspect + 20 <= now.suspect < before.suspect + 20 + 4
        assert (now.succeeded - now.suspect, sandbox.paid_twice) == (120, {})
