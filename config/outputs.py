"""Settings of outputs: mark, format and names, the gates before them, and how S3 stores them.

They are frozen into each plan, so a worker's own settings do not matter for a run that somebody else planned.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, field_validator

from restyle.outputs import Form, Gates, OutputOptions, Storing

Mark = Literal[
    "compositeWithTrainedAlgorithmicMedia",
    "trainedAlgorithmicMedia",
    "algorithmicallyEnhanced",
    "compositeSynthetic",
    "none",
]
_GATES = Gates()


class OutputSettings(BaseModel):
    """The part of `Settings` that is about outputs."""

    mark: Mark = "compositeWithTrainedAlgorithmicMedia"
    """What outputs say of their origin: IPTC's digital source type, or none."""
    c2pa: bool = False
    """Sign outputs with a C2PA manifest; every worker needs a certificate for it."""
    c2pa_certificate: Path | None = None
    """Of a worker: PEM file of its certificate and those up to the root."""
    c2pa_key_file: Path | None = None
    """Of a worker: PEM file of the certificate's private key."""
    c2pa_algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"] = "es256"
    """What that key signs with."""
    c2pa_timestamps: str = ""
    """Address of the time-stamp authority that is asked at each signature; unset: none."""
    output_format: Form = "jpg"
    """What outputs are: jpg (as received), webp or png."""
    output_quality: int = Field(90, ge=1, le=100)
    """Of WebP, 1 to 100."""
    naming: str = ""
    """Names of outputs below their prefix: {id}, {variant}, {sample}, {stem}, {run_id}. Unset: {id}/{variant}."""

    gates: bool = True
    """Look at each picture that comes back, and put aside what looks wrong."""
    gate_black: float = Field(_GATES.black, ge=0, le=255)
    """Level up to which a picture counts as black, of 255."""
    gate_flat: float = Field(_GATES.flat, ge=0, le=255)
    """Levels between its darkest and its brightest part below which a picture counts as flat; 0: none does."""
    gate_same: float = Field(_GATES.same, ge=0, le=255)
    """Levels by which a picture differs from its input below which it counts as the same; 0: none does."""
    gate_aspect: float = Field(_GATES.aspect, ge=0, le=10)
    """Share by which width : height may differ from the input's; 0: any may."""
    gate_small: float = Field(_GATES.small, ge=0, le=1)
    """Share of the sent picture's longest side below which a picture counts as small; 0: none does."""

    probe_outputs: bool = True
    """Before a run is queued, put a tiny object where outputs go, and remove it; for a submitter who may not, false."""
    storage_class: str = ""
    """S3 storage class of outputs, e.g. STANDARD_IA."""
    object_tags: str = ""
    """S3 tags of outputs: name=value, several with commas between."""
    sse_kms_key: str = ""
    """KMS key that S3 encrypts outputs with: its id, ARN or alias."""
    cache_control: str = ""
    """Cache-Control of outputs, e.g. public, max-age=31536000."""
    content_disposition: str = ""
    """Content-Disposition of outputs, e.g. inline."""

    @field_validator("object_tags")
    @classmethod
    def _object_tags(cls, value: str) -> str:
        tags = _tags(value)
        if len(tags) > 10:
            raise ValueError(f"has {len(tags)} tags; S3 takes 10")
        if any(len(name) > 128 or len(text) > 256 for name, text in tags.items()):
            raise ValueError("S3 takes 128 characters for a tag's name, and 256 for its value")
        return value

    @property
    def output_options(self) -> OutputOptions:
        """The part of these settings that a plan freezes."""
        gates = Gates(
            black=self.gate_black, flat=self.gate_flat, same=self.gate_same, aspect=self.gate_aspect,
            small=self.gate_small,
        )  # fmt: skip
        storing = Storing(
            storage_class=self.storage_class, tags=_tags(self.object_tags), sse_kms_key=self.sse_kms_key,
            cache_control=self.cache_control, content_disposition=self.content_disposition,
        )  # fmt: skip
        return OutputOptions(
            mark=self.mark, c2pa=self.c2pa, form=self.output_format, quality=self.output_quality,
            gates=gates if self.gates else None, storing=storing,
        )  # fmt: skip


def _tags(text: str) -> dict[str, str]:
    """The tags of `name=value,name=value`.

    Raises:
        ValueError: one has no name, or no `=`.
    """
    tags: dict[str, str] = {}
    for part in filter(str.strip, text.split(",")):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"{part.strip()!r}: write it as name=value, several with commas between")
        tags[name.strip()] = value.strip()
    return tags
