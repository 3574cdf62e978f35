"""The S3 client's models: what is left out of them changes nothing that a client does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader

from restyle.clients import Models


def test_a_place_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    """A folder, say, where a file of AWS's may lie: botocore's own is found behind it."""
    (tmp_path / "endpoints.json").mkdir()
    assert Models(extra_search_paths=[str(tmp_path)]).load_data("endpoints")["partitions"]


def silent(part: Any) -> Any:
    """A part of a model without what is written for people."""
    if isinstance(part, dict):
        said = {"documentation": ""} if isinstance(part.get("documentation"), str) else {}
        return {name: silent(inner) for name, inner in part.items()} | said
    return [silent(inner) for inner in part] if isinstance(part, list) else part


@pytest.mark.parametrize("service", ["s3", "sts", "sso"])
@pytest.mark.parametrize("kind", ["service-2", "endpoint-rule-set-1", "paginators-1"])
def test_a_model_is_botocores_own_without_its_documentation(service: str, kind: str) -> None:
    """Operations, shapes and rules are all there, in their order: requests are built by it."""
    ours, theirs = (loader.load_service_model(service, kind) for loader in (Models(), Loader()))
    assert json.dumps(ours) == json.dumps(silent(theirs))


def test_places_of_s3_and_of_tokens_are_known() -> None:
    """Of each partition of AWS these two services alone, as botocore has them, and all of its regions."""
    ours, theirs = (loader.load_data("endpoints")["partitions"] for loader in (Models(), Loader()))
    assert [partition["partition"] for partition in ours] == [partition["partition"] for partition in theirs]
    for mine, whole in zip(ours, theirs, strict=True):
        services = whole["services"]
        assert mine["services"] == {name: services[name] for name in ("s3", "sts") if name in services}
        assert mine["regions"] == whole["regions"]
