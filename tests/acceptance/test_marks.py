"""Marks of origin: exiftool reads them in every output, and but for them each picture is what the API sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from apps.sandbox import styles
from restyle.models import Params
from tests.acceptance.conftest import Alone
from tests.support.catalog import picture, write_catalog
from tests.support.exiftool import read_tags
from tests.support.pictures import decode

pytestmark = pytest.mark.acceptance

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "record.schema.json").read_text())
RUN = ("run", "manifest.csv", "--variants", "variants.json", "--yes", "--json")
TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
XMP = b"http://ns.adobe.com/xap/1.0/\0"


def sent(record: dict[str, Any]) -> bytes:
    """What the API sent for the job of a record."""
    (made,) = styles.restyle(picture(record["id"]), Params(**record["params"]), record["params"]["seed"])
    return made


def unmarked(jpeg: bytes) -> bytes:
    """A JPEG without its XMP segment."""
    start = jpeg.index(XMP) - 4
    return jpeg[:start] + jpeg[start + 2 + int.from_bytes(jpeg[start + 2 : start + 4]) :]


def tags(alone: Alone) -> dict[str, dict[str, Any]]:
    """What exiftool reads, by the output's key without suffix."""
    root = alone.bucket / "outputs"
    return {path.relative_to(root).with_suffix("").as_posix(): found for path, found in read_tags(root).items()}


@pytest.mark.long
def test_exiftool_reads_the_mark_on_a_hundred_outputs(alone: Alone) -> None:
    """Each has the source type, the tool and its job; without that segment it is byte for byte what the API sent."""
    write_catalog(alone.folder, 50)
    assert alone.command(*RUN).json["succeeded"] == 100
    records, outputs, found = alone.records(), alone.outputs(), tags(alone)
    assert len(found) == len(records) == 100
    for key, record in records.items():
        jsonschema.validate(record, SCHEMA)
        told, data = found[key], outputs[f"{key}.jpg"]
        assert told["XMP-iptcExt:DigitalSourceType"] == TYPES + "compositeWithTrainedAlgorithmicMedia"
        assert told["XMP-xmp:CreatorTool"].startswith("restyle ")
        assert told["XMP-dc:Identifier"] == record["job_id"]
        assert (told["ExifTool:Validate"], told.get("ExifTool:Error")) == ("OK", None), told
        assert unmarked(data) == sent(record)
        assert decode(data).tobytes() == decode(sent(record)).tobytes()
        assert record["marks"]["provenance"] == "compositeWithTrainedAlgorithmicMedia"
