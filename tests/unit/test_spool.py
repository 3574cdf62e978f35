"""Paid answers on disk: written whole, for their owner alone, handed on once, and believed only where they are ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from apps.cli.processes.checks import spooled
from config.reading import load_settings
from restyle.job.parked.on_disk import Spool, Spooled

ANSWER = Spooled("s3://b/w", "20260101T000000Z-abcdef", "0" * 24, "s3://b/w/records/a/v.json", '{"made_from": "x"}')


@pytest.fixture
def here(tmp_path: Path) -> Spool:
    """A spool in a folder that is not there yet."""
    return Spool(tmp_path / "home" / "spool")


def test_an_answer_is_handed_on_once(here: Spool) -> None:
    """What was put there comes back as it was; then the folder is empty."""
    assert here.waiting() == []
    path = here.put(ANSWER)
    assert here.waiting() == [path]
    assert here.hand_on(path, lambda answer: answer == ANSWER)
    assert (here.waiting(), list(here.folder.iterdir())) == ([], [])
    assert not here.hand_on(path, lambda _: True)


def test_what_nobody_takes_stays(here: Spool) -> None:
    """Where neither S3 nor Redis takes it, it is there for the next look."""
    path = here.put(ANSWER)
    assert not here.hand_on(path, lambda _: False)
    assert here.waiting() == [path]
    here.put(ANSWER)
    assert here.waiting() == [path], "put twice, it is there once"


def test_one_process_at_a_time_has_it(here: Spool) -> None:
    """Two workers of a machine look at the same moment: one of them takes it."""
    path = here.put(ANSWER)
    other = Spool(here.folder)
    assert here.hand_on(path, lambda _: not other.hand_on(path, lambda _: True))
    assert here.waiting() == []


def test_its_owner_alone_can_read_it(here: Spool) -> None:
    """Whatever the umask: a picture of a catalog is nobody else's business."""
    before = os.umask(0)
    try:
        path = here.put(ANSWER)
    finally:
        os.umask(before)
    assert [found.stat().st_mode & 0o777 for found in (here.folder, path)] == [0o700, 0o600]


def forged(path: Path, how: str) -> None:
    """What somebody else could have put there."""
    text = path.read_bytes()
    match how:
        case "link":
            path.rename(path.with_suffix(".aside"))
            path.symlink_to(path.with_suffix(".aside"))
        case "second name":
            path.with_suffix(".aside").hardlink_to(path)
        case "readable":
            path.chmod(0o644)
        case "folder":
            path.unlink()
            path.mkdir()
        case "pipe":
            path.unlink()
            os.mkfifo(path, 0o600)
        case "cut":
            path.write_bytes(text[:-1])
        case "list":
            path.write_bytes(b"[]")
        case "lacks":
            path.write_bytes(b'{"workspace": "s3://b/w"}')
        case "open folder":
            path.parent.chmod(0o777)


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "how", ["link", "second name", "readable", "folder", "pipe", "cut", "list", "lacks", "open folder"]
)
def test_what_may_be_anybodys_is_not_believed(here: Spool, how: str) -> None:
    """A link, a file that others may read or name, a folder, a pipe, what is no answer: it stays, and is refused."""
    path = here.put(ANSWER)
    forged(path, how)
    with pytest.raises((OSError, ValueError)):
        here.hand_on(path, lambda _: pytest.fail("it was believed"))
    assert path in here.waiting()


def test_there_is_only_so_much_room(tmp_path: Path) -> None:
    """A disk is not filled with answers: the caller keeps the rest in memory."""
    here = Spool(tmp_path / "spool", most_bytes=300)
    path = here.put(ANSWER)
    with pytest.raises(OSError, match="no more room"):
        here.put(ANSWER._replace(job_id="1" * 24))
    assert list(here.folder.iterdir()) == [path]


def test_a_file_in_the_folders_place_is_told(tmp_path: Path) -> None:
    """Nothing is written where somebody has put something else."""
    (tmp_path / "spool").write_text("")
    here = Spool(tmp_path / "spool")
    with pytest.raises(OSError, match="spool"):
        here.put(ANSWER)
    assert here.waiting() == []


def test_doctor_tells_of_answers_on_disk(here: Spool) -> None:
    """Where there are none it says nothing; else how many, where, and what to do."""
    settings = load_settings(home=str(here.folder.parent))
    assert list(spooled(settings)) == []
    here.put(ANSWER)
    (finding,) = spooled(settings)
    assert not finding.ok
    assert finding.detail == f"paid answers that neither S3 nor Redis took lie in {here.folder}: 1"
    assert "start a worker here" in finding.advice
