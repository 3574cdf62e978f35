"""From the answer's bytes to those that are stored; a step that fails leaves the picture as it was."""

from __future__ import annotations

from typing import Any

import pytest

from restyle import images
from restyle.job.outputs.form import Finisher, finisher, recorded
from restyle.outputs import NO_MARK, Marks, OutputOptions
from tests.support.in_memory import MemorySigner
from tests.support.one_job import OneJob, answer_picture

MARK = OutputOptions().mark
BARE = OutputOptions(mark=NO_MARK)


def finish(options: OutputOptions, *answers: bytes, source: bytes = b"", signer: MemorySigner | None = None) -> tuple[
    list[tuple[bytes, str]], Marks
]:  # fmt: skip
    """What becomes of these answers."""
    pictures = [images.Picture(96, 72, "image/jpeg") for _ in answers]
    done, marks = Finisher(options, "restyle 1", "job-1", signer).finish(answers, pictures, source)
    return [(one.data, one.picture.content_type) for one in done], marks


def test_what_is_to_stay_as_it_is(one: OneJob) -> None:
    """Byte for byte."""
    assert finish(BARE, answer_picture()) == ([(answer_picture(), "image/jpeg")], Marks(provenance=NO_MARK))


def test_the_mark_names_program_and_job(one: OneJob) -> None:
    """And is said in the record."""
    ((data, _),), marks = finish(OutputOptions(), answer_picture())
    assert b"job-1" in data
    assert b"restyle 1" in data
    assert MARK.encode() in data
    assert marks == Marks(provenance=MARK)
    made = finisher(one.work(), one.tools)
    assert (made.tool, made.job_id, made.signer) == (
        "restyle 1.2.3 (sdxl-img2img)", one.work().message.job_id, one.tools.signer,
    )  # fmt: skip


@pytest.mark.parametrize(("form", "content_type"), [("png", "image/png"), ("webp", "image/webp")])
def test_another_form(form: Any, content_type: str) -> None:
    """Of the same size; what has it already is not made anew."""
    options = OutputOptions(form=form, mark=NO_MARK)
    ((data, kind),), marks = finish(options, answer_picture())
    assert (kind, marks.faults) == (content_type, ())
    made = images.verify(data)
    assert (made.width, made.height, made.content_type) == (96, 72, content_type)
    there = Finisher(options, "t", "j").finish([b"as it is"], [images.Picture(1, 1, content_type)])
    assert [one.data for one in there[0]] == [b"as it is"]


def test_a_step_that_fails_leaves_the_picture(one: OneJob) -> None:
    """It was paid for; the record says which, each fault once, and for how long its words may be."""
    done, marks = finish(OutputOptions(form="png"), b"no picture", b"no picture")
    assert done == [(b"no picture", "image/jpeg")] * 2
    assert marks.provenance == ""
    assert [fault.partition(":")[0] for fault in marks.faults] == ["form", "mark"]
    assert marks.faults[0].startswith("form: InvalidImage: is not a picture")
    _, marks = finish(
        OutputOptions(c2pa=True, mark=NO_MARK),
        b"picture",
        source=b"s",
        signer=MemorySigner(fault=ValueError("x" * 400)),
    )
    assert [len(fault) for fault in marks.faults] == [300]


def test_a_form_that_fails_is_marked_all_the_same() -> None:
    """Each step stands for itself."""
    _, marks = finish(OutputOptions(c2pa=True), answer_picture(), source=b"s", signer=MemorySigner(fault=ValueError()))
    assert (marks.provenance, marks.c2pa, marks.faults) == (MARK, False, ("c2pa: ValueError: ",))


@pytest.mark.parametrize("mark", [MARK, NO_MARK])
def test_a_signature_names_the_source(mark: str) -> None:
    """With the mark's source type, where there is a mark."""
    signer = MemorySigner()
    ((data, _),), marks = finish(OutputOptions(c2pa=True, mark=mark), answer_picture(), source=b"s", signer=signer)
    assert data.endswith(b"signed")
    assert marks == Marks(provenance=mark, c2pa=True)
    assert signer.signed == [("image/jpeg", b"s", "" if mark == NO_MARK else mark, "restyle 1", "job-1")]


@pytest.mark.parametrize("missing", ["wish", "source", "signer"])
def test_nothing_is_signed_without_all_of_it(missing: str) -> None:
    """A run that does not want it, a source that is gone, a worker without certificate."""
    signer = MemorySigner()
    options = OutputOptions(c2pa=missing != "wish", mark=NO_MARK)
    source, certificate = b"" if missing == "source" else b"s", None if missing == "signer" else signer
    done, marks = finish(options, b"picture", source=source, signer=certificate)
    assert (done, signer.signed) == ([(b"picture", "image/jpeg")], [])
    assert not marks.c2pa


def test_what_a_record_says_of_an_output() -> None:
    """Size, type and hash of the bytes that are stored."""
    output = recorded(
        "s3://b/a.jpg", Finisher(BARE, "t", "j").finish([b"abc"], [images.Picture(3, 2, "image/png")])[0][0]
    )
    assert output.model_dump() == {
        "uri": "s3://b/a.jpg", "bytes": 3, "width": 3, "height": 2, "content_type": "image/png", "etag": "",
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }  # fmt: skip
