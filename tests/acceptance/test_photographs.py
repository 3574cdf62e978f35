"""Photographs in every format, and files that only look like some: each good one upright, each bad one fails alone."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from PIL import Image

from tests.acceptance.conftest import Alone
from tests.support import pictures
from tests.support.command import processes_with
from tests.support.sandbox import SandboxServer
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

MOST_MEMORY = 400_000_000


def write_photographs(folder: Path) -> set[str]:
    """Real photographs as users have them; answers with their ids."""
    folder.mkdir()
    photo = pictures.photo().convert("RGB")
    rgba = pictures.photo().convert("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize(rgba.size))
    files = {
        "plain.jpg": pictures.encode(photo),
        "progressive.jpeg": pictures.encode(photo, progressive=True),
        "turned.jpg": pictures.encode(photo.rotate(90, expand=True), orientation=6),
        "cmyk.jpg": pictures.encode(photo.convert("CMYK")),
        "gray.jpg": pictures.encode(photo.convert("L")),
        "alpha.png": pictures.encode(rgba, "PNG"),
        "palette.png": pictures.encode(photo.convert("P"), "PNG"),
        "deep.png": pictures.deep_png(size=(300, 200)),
        "gray16.tif": pictures.encode(photo.convert("I;16"), "TIFF"),
        "modern.webp": pictures.encode(photo, "WEBP"),
        "scan.tiff": pictures.encode(photo, "TIFF"),
        "old.bmp": pictures.encode(photo, "BMP"),
        "large.jpg": pictures.encode(photo.resize((3000, 2000))),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return {name.rpartition(".")[0] for name in files}


def write_bad(folder: Path) -> dict[str, str]:
    """Files that are no pictures; answers with a word that each one's reason must have."""
    files = {
        "truncated.jpg": (pictures.encode(pictures.photo().convert("RGB"))[:9000], "truncated"),
        "text.jpg": (b"this is not a picture, whatever its name says\n", "not a picture"),
        "bomb.png": (pictures.bomb_png(), "pixels"),
        "moving.gif": (pictures.animation(), "animat"),
    }
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    (folder / "empty.jpg").write_bytes(b"")  # no picture of a folder, and so no entry
    return {name.rpartition(".")[0]: word for name, (_, word) in files.items()}


def peak_memory(folder: Path) -> int:
    """Bytes that the folder's worker has used at most."""
    for pid in processes_with(str(folder)):
        entry = Path("/proc", str(pid))
        try:
            if b"workers.main" in (entry / "cmdline").read_bytes():
                return int((entry / "status").read_text().split("VmHWM:")[1].split()[0]) * 1024
        except (OSError, IndexError):
            continue
    return 0


@pytest.mark.long
def test_every_good_picture_is_restyled_and_each_bad_one_fails_alone(alone: Alone, sandbox: SandboxServer) -> None:
    """Upright, whatever the format; a sentence for each that is no picture; the worker stays under 400 MB."""
    good = write_photographs(alone.folder / "photos")
    bad = write_bad(alone.folder / "photos")
    peaks: list[int] = []
    with alone.command.started("run", "photos/", "--prompt", "watercolor of {id}", "--yes", "--json") as process:

        def over() -> bool:
            peaks.append(peak_memory(alone.folder))
            return process.poll() is not None

        wait_until(over, timeout=100, description="the end of the run")
        out, err = process.communicate()
    assert process.returncode == 1, err
    assert f'"succeeded": {len(good)}, ' in out
    assert f'"failed": {len(bad)}, ' in out
    records = alone.records()
    assert {key.partition("/")[0] for key in records} == good
    for key, record in records.items():
        longest = max(record["prepared"]["width"], record["prepared"]["height"])
        assert longest <= 1024, key
        wide = record["outputs"][0]["width"] > record["outputs"][0]["height"]
        assert wide, f"{key} is not upright"
    assert records["plain/default"]["prepared"]["steps"] == []
    run_id = alone.command("runs", "--json").json["runs"][0]["run_id"]
    text = alone.command("report", run_id, "--status", "failed").out
    failed = {row["id"]: row for row in csv.DictReader(io.StringIO(text))}
    assert set(failed) == set(bad)
    for name, word in bad.items():
        assert failed[name]["error"] == "invalid_image"
        assert word in failed[name]["message"].lower(), failed[name]["message"]
    assert sandbox.charged == len(good)
    assert 0 < max(peaks) < MOST_MEMORY
