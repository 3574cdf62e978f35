"""Signed outputs: the manifest is valid and tells of the edit, and what cannot be signed is not paid for."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import c2pa
import pytest

from restyle.errors import ConfigurationError
from restyle.images.c2pa import open_signer
from restyle.images.xmp import SOURCE_TYPE_ROOT
from tests.integration.test_outputs import COMPOSITE, manifest, marks_in, pixels, sent
from tests.support.bench import running_bench
from tests.support.certificates import write_certificate
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3


def told(data: bytes) -> tuple[str, dict[str, Any]]:
    """Whether a picture's manifest is valid, and what it says."""
    reader = c2pa.Reader("image/jpeg", io.BytesIO(data))
    store = json.loads(reader.json())
    return reader.get_validation_state(), store["manifests"][store["active_manifest"]]


def test_signed_outputs(s3: S3, redis_url: str, sandbox: SandboxServer, tmp_path: Path) -> None:
    """Opened and edited, by this certificate; pixels are those that came; the record says so; nothing breaks it."""
    chain, key = write_certificate(tmp_path)
    settings = {"c2pa_certificate": chain, "c2pa_key_file": key}
    with running_bench(s3, redis_url, sandbox, **settings) as bench:
        rows = manifest(bench, "mug")
        bench.run(rows, {"c2pa": True})
        record, stored = bench.record("mug"), bench.output("mug")
        assert (record.marks.c2pa, record.marks.faults) == (True, ())
        state, said = told(stored.data)
        assert state == "Valid"
        (actions,) = [found["data"]["actions"] for found in said["assertions"] if found["label"].startswith("c2pa.act")]
        assert [action["action"] for action in actions] == ["c2pa.opened", "c2pa.edited"]
        assert actions[1]["digitalSourceType"] == SOURCE_TYPE_ROOT + COMPOSITE
        assert [found["relationship"] for found in said["ingredients"]] == ["parentOf"]
        assert said["signature_info"]["issuer"] == "Test Shop"
        assert SOURCE_TYPE_ROOT + COMPOSITE in marks_in(stored)
        assert pixels(stored.data) == pixels(sent(bench, "mug"))
        bench.run(rows, {"c2pa": True, "mark": "trainedAlgorithmicMedia", "output_format": "webp"})
        assert bench.output("mug").data == stored.data
    assert sandbox.charged == 1


def test_a_worker_that_cannot_sign_pays_nothing(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """Without a certificate the fleet is suspended before the first call, and the job stays pending."""
    with running_bench(s3, redis_url, sandbox) as bench:
        assert bench.run(manifest(bench, "mug"), {"c2pa": True}) == {}
        (suspension,) = bench.resources.tools.fleet.suspensions()
        assert suspension.reason == "misconfigured"
        assert "RESTYLE_C2PA_CERTIFICATE" in suspension.detail
    assert sandbox.calls == 0


def test_what_makes_no_signer_is_told_at_the_start(tmp_path: Path) -> None:
    """Half a pair, a missing file and a file that is no certificate are errors of the settings."""
    chain, key = write_certificate(tmp_path)
    assert open_signer(None, None, "es256", "") is None
    with pytest.raises(ConfigurationError, match="belong together"):
        open_signer(chain, None, "es256", "")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        open_signer(chain, tmp_path / "none.pem", "es256", "")
    key.write_text("no key")
    with pytest.raises(ConfigurationError, match="make no signer"):
        open_signer(chain, key, "es256", "")
