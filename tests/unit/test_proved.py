"""README's table of what restyle is proved with says no more than docs/reliability.md does."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGE = """
## On other people's servers

| Redis | reached | S3 | versions | date | tests that held |
|---|---|---|---|---|---|
| redis-server | plain | rclone | Redis 7.0.15, rclone v1.75.2 | 2026-12-01 | 12 of 12 in 403 s |
| redis-server | tls | rclone | Redis 7.0.15, rclone v1.75.2 | 2026-12-01 | **11 of 12** in 403 s; not `test_x` |
| wheel | plain | s3rver | Valkey 9.1.2, s3rver 3.7.1 | 2026-12-01 | **10 of 12** in 304 s; not `test_y`, `test_z` |
| wheel | acl | rclone | | 2026-12-01 | skipped: there is none |

## On other machines

Words.

| what | on | date | result |
|---|---|---|---|
| Python | 3.11 | 2026-12-01 | 3.11.7 |
| Kubernetes | schemas of 1.37 | 2026-12-01 | every object |

## In containers

| engine | what | result | took | date |
|---|---|---|---|---|
| Podman 4.3.1 | the image | built twice: one digest | 60 s | 2026-12-01 |
| Podman 4.3.1 | kill -9 | **a call too many** | 60 s | 2026-12-01 |
"""


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """The script that writes the table."""
    spec = importlib.util.spec_from_file_location("make_proved", ROOT / "docs/make_proved.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_did_not_hold_is_said_beside_its_name(made: ModuleType) -> None:
    """Each thing by its best row; what was skipped is not named; each row leads to its proof."""
    redis = "| [Redis and Valkey](docs/reliability.md#on-other-peoples-servers) | "
    assert made.proved(PAGE).splitlines()[2:] == [
        "| [Python](docs/reliability.md#on-other-machines) | 3.11 |",
        f"{redis}Redis 7.0.15 (plain, tls 11 of 12), Valkey 9.1.2 (plain 10 of 12) |",
        "| [S3](docs/reliability.md#on-other-peoples-servers) | rclone v1.75.2, s3rver 3.7.1 (10 of 12) |",
        "| [Containers](docs/reliability.md#in-containers) | Podman 4.3.1 (1 of 2) |",
        "| [Kubernetes](docs/reliability.md#on-other-machines) | schemas of 1.37 |",
    ]


def test_the_readme_is_what_the_page_says(made: ModuleType) -> None:
    """As `make check` holds too; the links lead to headings that are there."""
    page = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    assert made.proved(page) in (ROOT / "README.md").read_text(encoding="utf-8")
    assert {f"## {heading}" for heading in (made.SERVERS, made.MACHINES)} <= set(page.splitlines())
