"""Two catalogs in one folder of a person's own: nothing is swapped, overwritten or lost without a word."""

from __future__ import annotations

import pytest

from tests.acceptance.conftest import Alone, FleetOf
from tests.support.catalog import picture, write_catalog
from tests.support.sandbox import SandboxServer

pytestmark = pytest.mark.acceptance


def folders(alone: Alone) -> None:
    """Two folders of equally named pictures."""
    for name in ("shoes", "hats"):
        (alone.folder / name).mkdir()
        for number in (1, 2):
            (alone.folder / name / f"{number}.jpg").write_bytes(picture(f"{name} {number}"))


@pytest.mark.long
def test_folders_of_equally_named_pictures(alone: Alone, sandbox: SandboxServer) -> None:
    """The second is refused without --yes; with it the first one's pictures are kept, and both plans say so."""
    folders(alone)
    run = ("run", "--prompt", "{id} on oak", "--json")
    assert alone.command(*run, "shoes/").json["succeeded"] == 2
    shoes = alone.outputs()
    assert "last made from shoes/" in alone.command("plan", "hats/", "--prompt", "{id} on oak").err
    refused = alone.command(*run, "hats/", expect=2)
    assert "last made from shoes/" in refused.err
    assert "--yes" in refused.err
    assert (alone.outputs(), sandbox.charged) == (shoes, 2)
    assert alone.command(*run, "shoes/").json["skipped"] == 2
    second = alone.command(*run, "hats/", "--yes")
    assert (second.json["succeeded"], "last made from shoes/" in second.err) == (2, True)
    kept = [path.read_bytes() for path in (alone.bucket / "replaced").rglob("*.jpg")]
    assert sorted(kept) == sorted(shoes.values())
    assert sandbox.charged == 4


@pytest.mark.long
def test_one_naming_for_two_manifests(alone: Alone, sandbox: SandboxServer) -> None:
    """Four paid jobs, four pictures; what is gone is told at the end of a run, and by the code of a download."""
    folders(alone)
    for name in ("shoes", "hats"):
        lines = ["id,image", *(f"{name}-{number},{name}/{number}.jpg" for number in (1, 2))]
        (alone.folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    run = ("run", "--prompt", "{id} on oak", "--naming", "{stem}_{variant}", "--yes", "--json")
    alone.command(*run, "shoes.csv")
    assert "goes beside it" in alone.command(*run, "hats.csv").err
    assert len(alone.outputs()) == 4
    again = alone.command(*run, "shoes.csv")
    assert (again.json["skipped"], "not there any more" in again.err) == (2, False)
    (alone.bucket / "outputs" / "1_default.jpg").unlink()
    gone = alone.command(*run, "shoes.csv")
    assert "1 of 2 pictures of skipped jobs are not there any more" in gone.err
    assert "missing" in alone.command("download", gone.json["run_id"], "got", expect=1).err
    assert alone.command(*run, "shoes.csv", "--verify-outputs").json["succeeded"] == 1
    assert (len(alone.outputs()), sandbox.charged) == (4, 5)


@pytest.mark.long
def test_downloads_are_no_inputs(alone: Alone, sandbox: SandboxServer) -> None:
    """A folder whose pictures are downloaded below it plans the same ones each night."""
    folders(alone)
    here = type(alone.command)(alone.folder / "shoes", alone.command.env)
    for night in range(3):
        done = here("run", ".", "--prompt", "{id} on oak", "--download", "restyled", "--json")
        assert done.json["planned"] == 2
        assert ("2 pictures that restyle has copied there" in " ".join(done.err.split())) is (night > 0)
    assert sandbox.charged == 2


@pytest.mark.long
def test_a_bucket_with_a_typo(fleet: FleetOf) -> None:
    """It is told by file and line before anything is queued, at plan too; a setting leaves the look to the workers."""
    write_catalog(fleet.command.folder, 1)
    path = fleet.command.folder / "manifest.csv"
    path.write_text(
        path.read_text().replace("id,image", "id,image,output").replace(".jpg", ".jpg,s3://shop-typo/a.jpg", 1)
    )
    words = ("manifest.csv", "--prompt", "{id} on oak")
    for command in ("plan", "submit"):
        refused = fleet.command(command, *words, expect=2)
        assert "manifest.csv:2: output: nothing can be written there: s3://shop-typo/" in refused.err
        assert "RESTYLE_PROBE_OUTPUTS=false" in refused.err
    assert fleet.command("runs", "--json").json == {"runs": []}
    fleet.with_settings(RESTYLE_PROBE_OUTPUTS="false").command("submit", *words)
