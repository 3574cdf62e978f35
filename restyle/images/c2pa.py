"""Signed C2PA manifests in outputs: they name the input, and say that a model edited it.

Needs the extra `c2pa` (c2pa-python). Certificate and key are settings of the worker, never part of a plan.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType

from restyle.errors import ConfigurationError
from restyle.images.xmp import SOURCE_TYPE_ROOT

#: Thumbnails in the manifest would more than double a picture.
_SETTINGS = {"builder": {"thumbnail": {"enabled": False}}}


@dataclass(frozen=True)
class Signer:
    """Signs pictures with one certificate. Safe among threads."""

    certificates: bytes = field(repr=False)
    """PEM: the signer's own, then those up to a root."""
    key: bytes = field(repr=False)
    algorithm: str
    timestamps: str = ""
    """Address of a time-stamp authority; empty: no time-stamp."""

    def sign(self, data: bytes, content_type: str, *, source: bytes, source_type: str, tool: str, job_id: str) -> bytes:
        """The picture with a manifest; its pixels do not change.

        Args:
            data: the picture.
            content_type: its type.
            source: the picture that was sent to be edited, a JPEG, PNG or WebP.
            source_type: IPTC's digital source type; empty: none is written.
            tool: the name of the program.
            job_id: the job's id.

        Raises:
            Exception: any error of c2pa-python.
        """
        c2pa = _library()
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["input"]}}
        edited: dict[str, object] = {"action": "c2pa.edited", "softwareAgent": {"name": tool}}
        if source_type:
            edited["digitalSourceType"] = SOURCE_TYPE_ROOT + source_type
        manifest = {
            "claim_generator_info": [{"name": tool}],
            "title": job_id,
            "format": content_type,
            "assertions": [{"label": "c2pa.actions", "data": {"actions": [opened, edited]}}],
        }
        ingredient = {"title": "input", "relationship": "parentOf", "label": "input"}
        out = io.BytesIO()
        context = c2pa.Context(c2pa.Settings.from_dict(_SETTINGS))
        builder = c2pa.Builder(json.dumps(manifest), context)
        builder.add_ingredient(json.dumps(ingredient), _kind(source), io.BytesIO(source))
        builder.sign(self._signer(c2pa), content_type, io.BytesIO(data), out)
        return out.getvalue()

    def _signer(self, c2pa: ModuleType) -> object:
        stamps = self.timestamps.encode() or None
        return c2pa.Signer.from_info(
            c2pa.C2paSignerInfo(self.algorithm.encode(), self.certificates, self.key, stamps)
        )  # fmt: skip


def open_signer(certificate: Path | None, key: Path | None, algorithm: str, timestamps: str) -> Signer | None:
    """The signer of these files; None where none are named.

    Raises:
        ConfigurationError: one is missing or cannot be used, or c2pa-python is not installed.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ConfigurationError("RESTYLE_C2PA_CERTIFICATE and RESTYLE_C2PA_KEY_FILE belong together: set both")
    try:
        signer = Signer(certificate.read_bytes(), key.read_bytes(), algorithm, timestamps)
    except OSError as error:
        raise ConfigurationError(f"the C2PA certificate or its key cannot be read: {error}") from None
    c2pa = _library()
    try:
        signer._signer(c2pa)  # noqa: SLF001 - its own class
    except Exception as error:  # noqa: BLE001 - the library has many classes of errors for bad files
        raise ConfigurationError(f"the C2PA certificate and key make no signer: {error}") from None
    return signer


def _library() -> ModuleType:
    try:
        return import_module("c2pa")
    except ImportError:
        raise ConfigurationError('to sign outputs, install restyle with its part c2pa: pip install ".[c2pa]"') from None


def _kind(data: bytes) -> str:
    if data.startswith(b"\x89PNG"):
        return "image/png"
    return "image/webp" if data[8:12] == b"WEBP" else "image/jpeg"
