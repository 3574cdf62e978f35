"""A first run, and the same again: every image restyled once, each output its own input's, records that validate."""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from pathlib import Path

import jsonschema
import pytest
from PIL import Image

from apps.sandbox import styles
from restyle.models import Params
from tests.acceptance.conftest import Alone
from tests.support.catalog import VARIANTS, picture, write_catalog, write_variants
from tests.support.pictures import decode
from tests.support.sandbox import SandboxServer

pytestmark = pytest.mark.acceptance

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "record.schema.json").read_text())
RUN = ("run", "manifest.csv", "--variants", "variants.json", "--yes", "--json")


def test_every_image_is_restyled_once(alone: Alone, sandbox: SandboxServer) -> None:
    """Each output is what the API makes of its own input; records validate; a second run does nothing."""
    ids = write_catalog(alone.folder, 6)
    done = alone.command(*RUN).json
    assert (done["status"], done["planned"], done["succeeded"], done["failed"]) == ("finished", 12, 12, 0)
    assert (sandbox.calls, sandbox.charged, sandbox.paid_twice) == (12, 12, {})
    records, outputs = alone.records(), alone.outputs()
    assert set(records) == {f"{name}/{variant['name']}" for name in ids for variant in VARIANTS}
    for key, record in records.items():
        jsonschema.validate(record, SCHEMA)
        name = key.partition("/")[0]
        assert record["input"]["sha256"] == hashlib.sha256(picture(name)).hexdigest()
        (made,) = styles.restyle(picture(name), Params(**record["params"]), record["params"]["seed"])
        assert decode(outputs[f"{key}.jpg"]).tobytes() == decode(made).tobytes()
        assert record["outputs"][0]["sha256"] == hashlib.sha256(outputs[f"{key}.jpg"]).hexdigest()
        assert Image.open(BytesIO(made)).size == (record["outputs"][0]["width"], record["outputs"][0]["height"])

    again = alone.command(*RUN).json
    assert (again["skipped"], again["succeeded"], sandbox.calls) == (12, 0, 12)


@pytest.mark.long
def test_what_changes_is_made_again(alone: Alone, sandbox: SandboxServer) -> None:
    """A picture that was replaced, in both variants; a prompt in other words, for each picture; nothing else."""
    ids = write_catalog(alone.folder, 6)
    assert alone.command(*RUN).json["succeeded"] == 12
    records = alone.records()

    (alone.folder / "images" / f"{ids[2]}.jpg").write_bytes(picture("another"))
    replaced = alone.command(*RUN).json
    assert (replaced["succeeded"], replaced["skipped"], sandbox.calls) == (2, 10, 14)
    assert alone.records()[f"{ids[2]}/oak"]["input"]["sha256"] == hashlib.sha256(picture("another")).hexdigest()

    write_variants(alone.folder, [VARIANTS[0], {**VARIANTS[1], "prompt": "{id} in a harbour"}])
    reworded = alone.command(*RUN).json
    assert (reworded["succeeded"], reworded["skipped"], sandbox.calls) == (6, 6, 20)
    assert alone.records()[f"{ids[0]}/sea"]["params"]["seed"] == records[f"{ids[0]}/sea"]["params"]["seed"]


@pytest.mark.long
def test_sandbox_pictures_are_never_taken_for_paid_ones(alone: Alone, sandbox: SandboxServer) -> None:
    """After a --sandbox run, also one with --output, the same run against the API does every job."""
    write_catalog(alone.folder, 2)
    output = ("--output", "s3://restyle-local/shop")
    played = alone.command(*RUN, *output, "--sandbox").json
    assert (played["succeeded"], sandbox.calls) == (4, 0)
    assert alone.records() == {}
    assert not (alone.bucket / "shop").exists()
    paid = alone.command(*RUN, *output).json
    assert (paid["succeeded"], paid["skipped"], sandbox.charged) == (4, 0, 4)
    assert len(list((alone.bucket / "shop").rglob("*.jpg"))) == 4


def test_a_missing_key_is_an_error(alone: Alone, sandbox: SandboxServer) -> None:
    """Without a key nothing is started, and no sandbox is used silently."""
    write_catalog(alone.folder, 1)
    env = {name: value for name, value in alone.command.env.items() if name != "RESTYLE_API_KEY"}
    done = type(alone.command)(alone.folder, env)(*RUN, expect=2)
    assert "RESTYLE_API_KEY" in done.err
    assert "--sandbox" in done.err
    assert sandbox.calls == 0
    assert not (alone.folder / ".restyle").exists()


@pytest.mark.long
def test_samples_and_base64(alone: Alone) -> None:
    """Several samples get names of their own, as base64 answers do theirs."""
    write_catalog(alone.folder, 1)
    sets = ("--set", "samples=3", "--set", "base64=true")
    done = alone.command("run", "manifest.csv", "--prompt", "{id} in wool", *sets, "--yes", "--json").json
    assert done["succeeded"] == 1
    assert set(alone.outputs()) == {f"item-000/default-{sample}.jpg" for sample in range(3)}
    (record,) = alone.records().values()
    assert (record["samples_expected"], record["samples_received"]) == (3, 3)


@pytest.mark.long
def test_another_output_key_is_copied_not_paid_for(alone: Alone, sandbox: SandboxServer) -> None:
    """The same job under another --output costs nothing."""
    write_catalog(alone.folder, 1)
    alone.command(*RUN)
    done = alone.command(*RUN, "--output", "s3://restyle-local/elsewhere").json
    assert (done["skipped"], sandbox.calls) == (2, 2)
    assert len(list((alone.bucket / "elsewhere").rglob("*.jpg"))) == 2
