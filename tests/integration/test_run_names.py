"""A run is found by its id, the beginning of one, its name, its schedule's, or `latest`; anything else is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from producers.runs.run_names import find_run
from producers.runs.snapshot import write_run
from restyle.errors import ConfigurationError
from restyle.keys import Workspace
from restyle.models import ManifestSource, Run, RunOptions
from restyle.s3.store import Store
from tests.support.servers import S3

MORNING, NOON, NIGHT = "20260131T080000Z-aaaaaa", "20260131T120000Z-bbbbbb", "20260201T021500Z-nightly"


def a_run(run_id: str, **more: Any) -> Run:
    """A run of this id."""
    return Run(
        run_id=run_id, status="running", created=datetime(2026, 1, 31, tzinfo=UTC), shards=1, planned=1,
        manifest=ManifestSource(uri="s3://shop/catalog.csv", sha256="0"), plan_digest="0", options=RunOptions(), **more,
    )  # fmt: skip


@pytest.fixture
def store(s3: S3) -> Store:
    """A client of S3."""
    return s3.store


@pytest.fixture
def workspace(s3: S3, store: Store) -> Workspace:
    """Two runs named spring, the newer one in the sandbox, a night, and a plan that was never finished."""
    workspace = s3.workspace
    write_run(a_run(MORNING, name="spring"), store=store, workspace=workspace)
    write_run(a_run(NOON, name="spring"), store=store, workspace=workspace.sandbox)
    write_run(a_run(NIGHT, schedule="nightly"), store=store, workspace=workspace)
    store.put(workspace.shard("20260202T000000Z-cccccc", 0), b"", content_type="application/gzip")
    return workspace


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (MORNING, MORNING), (NOON, NOON), ("20260131T08", MORNING), ("20260131T12", NOON), ("202602", NIGHT),
        ("spring", NOON), ("nightly", NIGHT), ("latest", NIGHT),
    ],
)  # fmt: skip
def test_each_way_to_name_a_run(store: Store, workspace: Workspace, typed: str, meant: str) -> None:
    """The sandbox's runs are found beside the others; of two with one name the newer is meant."""
    found, side = find_run(typed, [workspace, workspace.sandbox], store)
    assert found == meant
    assert side == (workspace.sandbox if meant == NOON else workspace)


def test_the_sandbox_alone_is_looked_through_where_it_is_asked_for(store: Store, workspace: Workspace) -> None:
    """Under --sandbox nothing of the paid side is meant."""
    assert find_run("latest", [workspace.sandbox], store)[0] == NOON
    with pytest.raises(ConfigurationError, match="there is no run nightly"):
        find_run("nightly", [workspace.sandbox], store)


def test_the_beginning_of_several_ids_is_refused_with_all_of_them(store: Store, workspace: Workspace) -> None:
    """Each candidate stands there with its name and status, newest first."""
    with pytest.raises(ConfigurationError) as refused:
        find_run("20260", [workspace, workspace.sandbox], store)
    told = refused.value.message
    named = [f"{NIGHT} (nightly, running)", f"{NOON} (spring, running)", f"{MORNING} (spring, running)"]
    assert [told.index(name) for name in named] == sorted(told.index(name) for name in named)
    assert "cccccc" not in told


@pytest.mark.parametrize(
    "typed", ["", "sprng", "20251231", "20260202", "../../x", "\x1b[31m" + "x" * 5000, NIGHT + "x"]
)
def test_what_names_no_run_is_refused_in_a_sentence(store: Store, workspace: Workspace, typed: str) -> None:
    """It says what was typed, within bounds and without what a terminal obeys, and what comes near."""
    with pytest.raises(ConfigurationError, match="`restyle runs` lists those there are") as refused:
        find_run(typed, [workspace, workspace.sandbox], store)
    told = refused.value.message
    assert "\x1b" not in told
    assert len(told) < 300
    assert ("did you mean spring?" in told) == (typed == "sprng")
