"""What a worker tells of the API's answers: the last minute, by kind, with the times of the good ones."""

from __future__ import annotations

import json

import pytest

from restyle.coordination.traffic import Answers, Kind, Traffic, kind_of
from restyle.errors import (
    ApiTimeout,
    ApiUnavailable,
    MalformedResponse,
    OutOfCredits,
    RateLimited,
    RequestRejected,
    RestyleError,
)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (None, Kind.GOOD),
        (RateLimited("the API answers 429"), Kind.LIMITED),
        (ApiUnavailable("the API answers 503", 503), Kind.BROKEN),
        (ApiUnavailable("the API cannot be reached"), Kind.LOST),
        (ApiTimeout("no answer", in_doubt=True), Kind.LOST),
        (MalformedResponse("an HTML page", 200), Kind.LOST),
        (RequestRejected("the API answers 400", 400), Kind.REFUSED),
        (OutOfCredits("the API answers 406", 406), Kind.REFUSED),
    ],
)
def test_each_error_is_of_one_kind(error: RestyleError | None, kind: Kind) -> None:
    """A call is counted by what a person would look into."""
    assert kind_of(error) is kind


def test_only_the_last_minute_is_told() -> None:
    """What is older than a minute is forgotten, and nothing is counted twice."""
    now = 1000.0
    traffic = Traffic(lambda: now)
    traffic.note(Kind.GOOD, 8.0)
    now += 50
    traffic.note(Kind.BROKEN, 0.1)
    assert traffic.last_minute().kinds == {"good": 1, "5xx": 1}
    now += 15
    assert traffic.last_minute().kinds == {"5xx": 1}
    now += 60
    assert traffic.last_minute() == Answers()
    assert traffic.last_minute().share(Kind.BROKEN) is None
    assert traffic.last_minute().within(0.5) is None


def test_a_fleets_figures_are_its_workers_together() -> None:
    """Figures survive the heartbeat's JSON, add up, and times are within five per cent."""
    found = []
    for times in ([2.0] * 5, [8.0] * 10, [30.0] * 5):
        traffic = Traffic()
        for seconds in times:
            traffic.note(Kind.GOOD, seconds)
        traffic.note(Kind.LIMITED, 0.1)
        found.append(Answers.read(json.loads(json.dumps(traffic.last_minute().as_dict()))))
    fleet = sum(found, Answers())
    assert fleet.calls == 23
    assert fleet.share(Kind.LIMITED) == pytest.approx(3 / 23)
    assert fleet.within(0.25) == pytest.approx(2.0, rel=0.05)
    assert fleet.within(0.5) == pytest.approx(8.0, rel=0.05)
    assert fleet.within(0.95) == pytest.approx(30.0, rel=0.05)


def test_a_call_is_counted_by_what_it_raises() -> None:
    """The pipeline counts a call whether it brings a picture or an error, and the error goes on."""
    traffic = Traffic()
    with traffic.counted():
        pass
    with pytest.raises(ApiUnavailable), traffic.counted():
        raise ApiUnavailable("the API answers 500", 500)
    assert traffic.last_minute().kinds == {"good": 1, "5xx": 1}
