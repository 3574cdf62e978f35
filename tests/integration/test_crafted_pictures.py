"""Pictures that were made to do harm are decided soon and in little memory, in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from tests.support.crafted import all_of_them

#: Seconds of CPU, and MB beyond those of a process that has opened no picture.
MOST_SECONDS, MOST_MB = 5.0, 300.0

_DECIDE = """
import json, resource, sys, time
from restyle import images
from restyle.errors import InvalidImage
from restyle.fingerprint import Preparation

def peak():
    try:  # what getrusage tells is no less than the memory of the process that has forked this one
        lines = open("/proc/self/status").read().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

before, began = peak(), time.process_time()
data = open(sys.argv[1], "rb").read()
try:
    images.prepare(data, Preparation())
    verdict = "ok"
except InvalidImage as error:
    verdict = error.message
print(json.dumps([verdict, time.process_time() - began, peak() - before]))
"""


def _decide(data: bytes, folder: Path) -> tuple[str, float, float]:
    """What becomes of a picture: its verdict, seconds of CPU, and MB."""
    path = folder / "picture"
    path.write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", _DECIDE, str(path)], capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},
    )  # fmt: skip
    verdict, seconds, megabytes = json.loads(done.stdout)
    return verdict, seconds, megabytes


def _check(some: list[tuple[str, Callable[[], bytes]]], folder: Path) -> dict[str, str]:
    verdicts, most = {}, (0.0, 0.0)
    for name, make in some:
        verdict, seconds, megabytes = _decide(make(), folder)
        assert seconds < MOST_SECONDS, f"{name}: {seconds:.1f} s for {verdict!r}"
        assert megabytes < MOST_MB, f"{name}: {megabytes:.0f} MB for {verdict!r}"
        verdicts[name] = verdict
        most = max(most[0], seconds), max(most[1], megabytes)
    print(f"{len(verdicts)} pictures: {most[0]:.2f} s and {most[1]:.0f} MB at most")  # noqa: T201 - with -s
    return verdicts


@pytest.mark.long
def test_what_keeps_a_reader_busy_is_refused(tmp_path: Path) -> None:
    """The strongest picture of each kind of trick is decided soon, and a good one is taken."""
    chosen = {
        "jpeg 100000 scans 10000x9900", "jpeg 90 scans 10000x9900", "jpeg 1000000 comments", "tiff 1000000 pages",
        "tiff 1000000 strips", "big tiff 1000000 entries", "png 1000000 empty chunks", "gif 1000000 small blocks",
        "gif 1000000 frames", "png exif 1000000", "png 10000 depth 8 colour 6", "webp 5000", "progressive 10000",
        "a good one",
    }  # fmt: skip
    verdicts = _check([one for one in all_of_them() if one[0] in chosen], tmp_path)
    assert verdicts.keys() == chosen
    assert "more than 100 scans" in verdicts["jpeg 100000 scans 10000x9900"]
    assert "more than 500,000 numbers" in verdicts["tiff 1000000 strips"]
    assert "decoding this WebP takes" in verdicts["webp 5000"]
    assert {name for name, verdict in verdicts.items() if verdict == "ok"} >= {"a good one", "tiff 1000000 pages"}


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(4))
def test_two_hundred_crafted_pictures(part: int, tmp_path: Path) -> None:
    """Each of over 200 crafted pictures is decided in under 5 s and 300 MB."""
    everything = list(all_of_them())
    assert len(everything) >= 200
    _check(list(islice(everything, part, None, 4)), tmp_path)
