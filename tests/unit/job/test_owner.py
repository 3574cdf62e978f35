"""Whose an object in S3 is, and where an output goes that may not go where it was planned."""

from __future__ import annotations

import pytest

from restyle.errors import ObjectRefused, StoreAccessDenied
from restyle.job.outputs.ownership import LARGEST, Owner, beside, places_of
from restyle.record import Record
from tests.support.one_job import WORKSPACE, OneJob

PLACE = WORKSPACE.output("mug", "felt")
OWN = WORKSPACE.job_id("mug", "felt")


def owner(one: OneJob, known: Record | None = None) -> Owner:
    """The usual job."""
    return Owner(OWN, one.work().message.job, known, WORKSPACE, one.store)


def owns(one: OneJob, uri: str = PLACE, data: bytes = b"", known: Record | None = None) -> bool:
    """Whether what lies there is the usual job's."""
    return owner(one, known).owns(uri, one.store.objects[uri], data)


def test_an_output_goes_where_it_was_planned(one: OneJob) -> None:
    """Where nothing lies there, or its own."""
    assert owner(one).place(PLACE) == PLACE
    one.put(PLACE, b"ours", job_id=OWN)
    assert owner(one).place(PLACE) == PLACE


def test_an_output_goes_beside_what_is_not_its_own(one: OneJob) -> None:
    """And where even that is taken, to a place that nobody else has: the last is not looked at."""
    one.put(PLACE, b"a person's")
    first, second = PLACE.replace(".jpg", f".{OWN[:8]}.jpg"), PLACE.replace(".jpg", f".{OWN[:16]}.jpg")
    assert owner(one).place(PLACE) == first
    one.put(first, b"a person's too")
    assert owner(one).place(PLACE) == second
    assert one.store.requests.count(f"head {second}") == 0
    assert places_of(PLACE, OWN) == (PLACE, first, second)


def test_a_place_is_asked_for_once(one: OneJob) -> None:
    """A job asks for its places more than once."""
    here = owner(one)
    assert here.head(PLACE) is here.head(PLACE) is None
    assert one.store.requests == [f"head {PLACE}"]


@pytest.mark.parametrize("error", [ObjectRefused("403"), StoreAccessDenied("403")])
def test_where_nobody_may_look_nothing_lies(one: OneJob, error: Exception) -> None:
    """The plan has warned of it; and it is asked once too."""
    one.store.fail("head", PLACE, error)
    here = owner(one)
    assert here.place(PLACE) == PLACE
    assert here.head(PLACE) is None
    assert one.store.requests == [f"head {PLACE}"]


def test_metadata_name_the_owner(one: OneJob) -> None:
    """Whatever else is so."""
    one.run()
    known = one.record()
    assert owns(one)
    one.put(PLACE, one.output().data, job_id="another")
    assert not owns(one, known=known, data=one.output().data)


def test_a_fingerprint_that_names_no_job_is_the_records(one: OneJob) -> None:
    """Of a version that named no job: where the record has written it there, with that fingerprint."""
    one.run()
    known = one.record()
    one.put(PLACE, b"older", fingerprint=known.fingerprint.token)
    assert owns(one, known=known)
    one.put(PLACE, b"older", fingerprint="another")
    assert not owns(one, known=known)


@pytest.mark.parametrize(
    ("uri", "is_own"),
    [
        (PLACE, True),
        (PLACE.replace(".jpg", ".png"), True),
        (PLACE.replace(".jpg", "-0.jpg"), True),
        (PLACE.replace(".jpg", "-3.jpg"), True),
        (PLACE.replace(".jpg", "-4.jpg"), False),
        (WORKSPACE.suspect("mug", "felt"), True),
        (WORKSPACE.output("cup", "felt"), False),
        (WORKSPACE.output("mug", "wool"), False),
        ("s3://shop/elsewhere/mug.jpg", False),
    ],
)
def test_a_fingerprint_where_only_this_job_writes_is_its_own(one: OneJob, uri: str, *, is_own: bool) -> None:
    """Without a record that tells: the job's own places are nobody else's."""
    one.put(uri, b"older", fingerprint="any")
    assert owns(one, uri) is is_own


def test_without_metadata_the_record_tells_by_its_size(one: OneJob) -> None:
    """Not every server keeps metadata."""
    one.run()
    known = one.record()
    one.put(PLACE, bytes(known.outputs[0].bytes))
    assert owns(one, known=known)
    one.put(PLACE, bytes(known.outputs[0].bytes + 1))
    assert not owns(one, known=known)
    other = "s3://shop/elsewhere/mug.jpg"
    one.put(other, bytes(known.outputs[0].bytes))
    assert not owns(one, other, known=known)


def test_the_very_same_bytes_are_ours(one: OneJob) -> None:
    """What was put before S3 broke off, whatever is said of it; an ETag that is no MD5 tells nothing."""
    one.put(PLACE, b"picture")
    assert owns(one, data=b"picture")
    assert not owns(one, data=b"Picture")
    assert not owns(one, data=b"a picture")
    one.touch(PLACE, "encrypted")
    assert not owns(one, data=b"picture")


def test_an_empty_object_is_nobodys(one: OneJob) -> None:
    """Where nothing is to be put there yet, it is no picture of ours either."""
    one.put(PLACE, b"")
    assert not owns(one)


def test_a_picture_may_name_its_job_itself(one: OneJob) -> None:
    """By the mark that restyle writes into it; one that goes meanwhile, or is too large, names nobody."""
    one.put(PLACE, b"xmp " + OWN.encode() + b" xmp")
    assert owns(one)
    head = one.store.objects[PLACE]
    one.store.when("get", PLACE, one.store.objects.clear)
    assert not owner(one).owns(PLACE, head)
    one.put(PLACE, OWN.encode().ljust(LARGEST + 1, b" "))
    assert not owns(one)


def test_a_name_beside_fits_file_systems() -> None:
    """Its stem is cut, in bytes, and no character is halved."""
    assert beside("s3://b/k/front.jpg", "x") == "s3://b/k/front.x.jpg"
    assert beside("s3://b/k/front", "x") == "s3://b/k/front.x"
    longest = beside(f"s3://b/k/{'ä' * 130}.jpg", "12345678").rpartition("/")[2]
    assert longest == "ä" * 118 + ".12345678.jpg"
