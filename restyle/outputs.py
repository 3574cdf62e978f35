"""What is asked of the pictures that come out: their mark, their form, the gates before them, and how S3 holds them.

It is frozen at plan. What was done to them is `Marks`, in each record.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

#: IPTC's terms for pictures that a trained model had a part in (cv.iptc.org/newscodes/digitalsourcetype): made by it
#: whole, edited by it, and edited or combined in part.
SOURCE_TYPES = (
    "compositeWithTrainedAlgorithmicMedia",
    "trainedAlgorithmicMedia",
    "algorithmicallyEnhanced",
    "compositeSynthetic",
)
#: Why a picture is suspect that a person has rejected: no gate says so, and no run without gates takes it back.
REJECTED = "rejected"
#: What stands for the mark where none is wanted.
NO_MARK = "none"

Form = Literal["jpg", "webp", "png"]
#: The content type of each form that pictures are turned into; `jpg` is as they are received.
CONTENT_TYPES: dict[Form, str] = {"jpg": "image/jpeg", "webp": "image/webp", "png": "image/png"}


class _Frozen(BaseModel):
    """A part of a stored value, as closed as the whole (restyle/models.py)."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Gates(_Frozen):
    """From where on a picture looks wrong; 0 opens that gate. Levels are of 0 to 255, on 32 x 32 averages."""

    black: float = Field(12.0, ge=0, le=255)
    """No part of the picture is brighter than this level."""
    flat: float = Field(8.0, ge=0, le=255)
    """Its darkest and its brightest part are less than this apart."""
    same: float = Field(1.0, ge=0, le=255)
    """Its parts differ less than this from the input's, on average."""
    aspect: float = Field(0.1, ge=0, le=10)
    """Width by height is another than the input's by more than this share."""
    small: float = Field(0.75, ge=0, le=1)
    """Its longest side is less than this share of what was sent."""


class Storing(_Frozen):
    """How S3 is to hold the outputs; empty leaves it to the bucket."""

    storage_class: str = ""
    tags: dict[str, str] = {}
    sse_kms_key: str = ""
    """Id, ARN or alias of the KMS key; `aws/s3` is Amazon's own."""
    cache_control: str = ""
    content_disposition: str = ""


class OutputOptions(_Frozen):
    """What a run wants of its pictures."""

    mark: str = SOURCE_TYPES[0]
    """The IPTC digital source type that is written into them, or `none`."""
    c2pa: bool = False
    """Whether they are signed with the worker's certificate."""
    form: Form = "jpg"
    quality: int = Field(90, ge=1, le=100)
    """Of WebP."""
    gates: Gates | None = Gates()
    """None: no picture is looked at."""
    storing: Storing = Storing()

    @property
    def content_type(self) -> str:
        """What pictures are turned into; empty leaves them as they are received."""
        return "" if self.form == "jpg" else CONTENT_TYPES[self.form]


class Marks(_Frozen):
    """What was done to the outputs of a record, and what was seen on them."""

    provenance: str = ""
    """The IPTC digital source type in them; `none` where the run wanted none; empty: they were never marked."""
    c2pa: bool = False
    """They carry a signed C2PA manifest."""
    suspect: tuple[str, ...] = ()
    """Why they look wrong: black, flat, same, aspect, small. They were put below suspect/."""
    faults: tuple[str, ...] = ()
    """What could not be done to them; they were stored without it."""


class ReusedFrom(_Frozen):
    """The result that a job's pictures were copied from: the one call that was paid for them."""

    job_id: str
    run_id: str
    id: str
    variant: str
    seed: int
    cost: float
    """Credits, by the configured price where the API gave none."""
