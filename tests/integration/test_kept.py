"""Paid answers that S3 would not take: found again by the same request of their job, and by no other."""

from __future__ import annotations

from restyle import kept
from restyle.answers import Answer
from restyle.fleet import Claim
from restyle.models import utc_now
from restyle.state import State
from restyle.work import Called


def test_an_answer_is_found_by_its_own_request_alone(redis_url: str) -> None:
    """Of a run that was ended since, with another prompt, it is let go: it would be stored as what it is not."""
    state = State(redis_url, namespace="restyle:kept:", account="kept")
    answer = Answer((b"picture",), 1.5, request_id="r", cost=0.02)
    called = Called(Claim("go"), answer, utc_now(), utc_now(), 0.0)
    assert kept.keep("job", called, "one prompt", state)
    found = kept.find("job", "one prompt", state)
    assert found is not None
    assert (found.answer.images, found.claim.verdict) == ((b"picture",), "kept")
    assert kept.find("job", "another prompt", state) is None
    assert kept.find("job", "one prompt", state) is None
    assert state.ask("GET", state.key("kept_bytes")) in {"0", None}
    state.close()
