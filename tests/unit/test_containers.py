"""The proof of containers: how builds are compared, what it needs from the files, and its table."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.containers.bases import base_of_image, bases
from tests.containers.engine import Missing, engine_at_hand
from tests.containers.fleet import environment
from tests.containers.image import layers_of
from tests.containers.page import PAGE, TABLE

OLD, NEW = b"\x01\x00\x00\x00", b"\x02\x00\x00\x00"
BY_TIME, BY_HASH = bytes(4), b"\x01\x00\x00\x00"


def tar(files: dict[str, bytes], mtime: int = 0) -> bytes:
    """An archive of these files."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), mtime
            archive.addfile(member, io.BytesIO(content))
    return written.getvalue()


def image(path: Path, *layers: bytes) -> Path:
    """An image's archive, as engines save it."""
    names = [f"{number}.tar" for number in range(len(layers))]
    manifest = json.dumps([{"Layers": names}]).encode()
    path.write_bytes(tar({**dict(zip(names, layers, strict=True)), "manifest.json": manifest}))
    return path


def test_builds_are_alike_but_for_times(tmp_path: Path) -> None:
    """Times of files and of compiled modules are no difference, and what the base has counts for nothing."""
    files = {"a.py": b"1", "a.pyc": b"code" + BY_TIME + OLD + b"rest"}
    one = layers_of(image(tmp_path / "one", tar({"base": bytes(1000)}), tar(files, mtime=1)), 1)
    files["a.pyc"] = b"code" + BY_TIME + NEW + b"rest"
    again = layers_of(image(tmp_path / "again", tar({"base": bytes(2000)}), tar(files, mtime=2)), 1)
    assert (one.size, one.digest, one.differing(again)) == (17, again.digest, [])


@pytest.mark.parametrize(
    "content", [b"core" + BY_TIME + OLD + b"rest", b"code" + BY_HASH + NEW + b"rest"], ids=["code", "hash"]
)
def test_other_content_is_a_difference(tmp_path: Path, content: bytes) -> None:
    """Another byte of code, or a source's digest in the place of its time, is told by its path."""
    first = b"code" + content[4:8] + OLD + b"rest"
    one = layers_of(image(tmp_path / "one", tar({"a.py": b"1", "a.pyc": first})), 0)
    again = layers_of(image(tmp_path / "again", tar({"a.py": b"1", "a.pyc": content})), 0)
    assert one.differing(again) == ["a.pyc"]
    assert one.digest != again.digest


def test_the_images_of_the_files_are_named(tmp_path: Path) -> None:
    """What has to be pulled or made: the Dockerfile's base, and the servers, but not what only monitoring needs."""
    names = bases(environment(tmp_path))
    assert names[0] == base_of_image()
    assert [name.partition(":")[0] for name in names] == ["python", "rclone/rclone", "valkey/valkey"]


def test_without_an_engine_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Docker and Podman is told why nothing is proved."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match="there is no docker, and no podman on the PATH"):
        engine_at_hand(tmp_path)


def test_its_table_stands_in_the_page() -> None:
    """The page has the last run's rows, each of a proof's own form."""
    rows = TABLE.rows_of(PAGE.read_text(encoding="utf-8"))
    assert {len(row) for row in rows} <= {len(TABLE.head)}
