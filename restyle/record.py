"""What S3 says of a job that is done: `records/<id>/<variant>.json` (docs/record.schema.json)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Self

from pydantic import PrivateAttr

from restyle.fingerprint import Fingerprint
from restyle.formats import SchemaVersion
from restyle.models import Params
from restyle.outputs import Marks, ReusedFrom
from restyle.value import UtcTime, Value


class RecordInput(Value):
    """The picture that the result was made from."""

    uri: str
    etag: str
    sha256: str
    bytes: int
    width: int
    height: int
    address: str = ""
    """Where on the web it was fetched from, without what may be a secret; else empty."""


class RecordPrepared(Value):
    """What was sent: its size, and the steps from the input to it (none: byte for byte)."""

    width: int
    height: int
    steps: tuple[str, ...]


class RecordOutput(Value):
    """One stored sample."""

    uri: str
    sha256: str
    bytes: int
    width: int
    height: int
    content_type: str
    etag: str = ""
    """As S3 had it when it was put; empty where that is not known."""


class RecordApi(Value):
    """The call that was paid for."""

    url: str
    sandbox: bool
    request_id: str | None = None
    cost: float | None = None
    remaining_credits: float | None = None
    seconds: float
    attempts: int
    in_doubt: int


class RecordTimes(Value):
    """When each step was reached."""

    queued: UtcTime | None = None
    started: UtcTime
    called: UtcTime
    answered: UtcTime
    stored: UtcTime


class Record(Value):
    """`records/<id>/<variant>.json`: says that a job is done, and how. Its schema is docs/record.schema.json."""

    schema_version: SchemaVersion = 1
    job_id: str
    run_id: str
    id: str
    variant: str
    fingerprint: Fingerprint
    input: RecordInput
    prepared: RecordPrepared
    params: Params
    outputs: tuple[RecordOutput, ...]
    samples_expected: int
    samples_received: int
    api: RecordApi
    marks: Marks = Marks()
    replaced: tuple[str, ...] = ()
    """Where earlier outputs of this job were copied before they were replaced."""
    beside: tuple[str, ...] = ()
    """Places that outputs were planned for and that something else lies at, which was not this job's to replace."""
    reused_from: ReusedFrom | None = None
    """Whose result it is, where no call was made for this job; `api` then tells of that call, at no cost."""
    metadata: Mapping[str, str] = {}
    timestamps: RecordTimes
    worker: str
    version: str
    _beyond: dict[str, object] = PrivateAttr(default_factory=dict)
    """Keys that another version of restyle wrote beside these; they stay where the record is written anew."""
    _etag: str = PrivateAttr("")

    @classmethod
    def read(cls, text: str | bytes, etag: str = "") -> Self:
        """As of every value; and what is not known of a record is not lost."""
        record = super().read(text)
        fields = json.loads(text)
        record._beyond = {name: fields[name] for name in fields.keys() - cls.model_fields.keys()}  # noqa: SLF001 - its own
        record.lies_as(etag)
        return record

    def lies_as(self, etag: str) -> None:
        """Notes the ETag of this very text in S3."""
        self._etag = etag

    @property
    def stored(self) -> tuple[str, ...]:
        """Its ETag, then of each output the bytes and the ETag: `48213 5d4140…`. Empty where its own is not known."""
        outputs = (f"{output.bytes} {output.etag}".rstrip() for output in self.outputs)
        return (self._etag, *outputs) if self._etag else ()

    def as_json(self) -> str:
        """As it is stored."""
        if self._beyond:
            return json.dumps(self.model_dump(mode="json") | self._beyond, indent=1, ensure_ascii=False)
        return self.model_dump_json(indent=1)
