"""`restyle --help` answers at once: it imports nothing that only a command needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.catalog import picture
from tests.support.command import Command
from tests.support.imports import among, imported

#: Each takes from a hundredth to a fifth of a second.
COSTLY = (
    "asyncio", "botocore", "celery", "cronsim", "jinja2", "kombu", "PIL", "prometheus_client", "pydantic", "redis",
    "requests", "sqlite3", "starlette", "structlog", "urllib3", "uvicorn",
    "config", "producers", "tasks", "workers",
)  # fmt: skip


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), ([], 2), (["--version"], 0)])
def test_what_needs_no_command_imports_none(words: list[str], code: int, tmp_path: Path) -> None:
    """Help and the version leave settings, Redis, S3, pictures and Celery alone."""
    found = imported(Command(tmp_path), *words, expect=code)
    assert not among(found, *COSTLY)
    # Of the domain no more than turns errors into exit codes, and has no core written.
    assert {module for module in found if module.startswith("restyle.")} == {
        "restyle.errors",
        "restyle.problems",
        "restyle.runtime",
        "restyle.runtime.core_dumps",
    }


def test_a_wrong_name_loads_no_command(tmp_path: Path) -> None:
    """Whoever mistypes a command is told of the nearest ones without a look into them."""
    found = imported(Command(tmp_path), "statsu", expect=2)
    assert not among(found, *(name for name in COSTLY if name != "pydantic"))  # the options before it are checked by it


def test_the_version_needs_no_colours(tmp_path: Path) -> None:
    """What prints a word does not wait for what paints tables."""
    assert not among(imported(Command(tmp_path), "--version"), "rich")


def test_a_command_tells_its_options_without_celery_or_s3(tmp_path: Path) -> None:
    """`restyle status --help` imports its own module, and of other commands none."""
    found = imported(Command(tmp_path), "status", "--help")
    assert not among(found, "botocore", "celery", "kombu", "jinja2", "PIL", "requests", "starlette", "structlog")
    assert not among(
        found,
        "apps.cli.start.manifests",
        "apps.cli.runs.control",
        "apps.cli.processes.dashboard",
        "apps.cli.runs.schedules",
    )


#: Prepares a JPEG as a worker does, and tells what of Pillow that took.
_PREPARE = """
import sys
from restyle import images
from restyle.fingerprint import Preparation
images.prepare(sys.stdin.buffer.read(), Preparation())
print(*(name for name in sys.modules if name.startswith("PIL.")))
"""


def test_a_catalog_of_jpegs_loads_no_rare_reader() -> None:
    """What reads AVIF, GIF, BMP or colour profiles comes with the first of them; what reads answers is there before."""
    jpeg = picture("mug", side=300)
    done = subprocess.run([sys.executable, "-c", _PREPARE], input=jpeg, capture_output=True, check=True, timeout=60)
    found = set(done.stdout.decode().split())
    assert not found & {"PIL.AvifImagePlugin", "PIL.BmpImagePlugin", "PIL.GifImagePlugin", "PIL.ImageCms"}
    assert {"PIL.JpegImagePlugin", "PIL.PngImagePlugin", "PIL.WebPImagePlugin", "PIL.TiffImagePlugin"} <= found


def test_a_local_manifest_is_planned_without_a_client(tmp_path: Path) -> None:
    """`restyle plan` of a file loads no S3 client, no Celery, no report and no logs."""
    (tmp_path / "m.csv").write_text("image\ns3://shop/mug.jpg\n")
    found = imported(Command(tmp_path), "plan", "m.csv", "--prompt", "oil painting")
    assert "producers.planning.plan" in found
    assert not among(found, "botocore", "celery", "kombu", "jinja2", "requests", "starlette", "structlog", "uvicorn")


def test_the_settings_that_differ_are_listed_alone(tmp_path: Path) -> None:
    """With where each comes from."""
    (tmp_path / "restyle.toml").write_text("max_rpm = 7\n")
    told = Command(tmp_path, {"RESTYLE_API": "v2"})("config", "--changed", "--json").json
    assert {name: entry["source"] for name, entry in told.items() if name in {"max_rpm", "api", "price"}} == {
        "max_rpm": "restyle.toml", "api": "environment",
    }  # fmt: skip
