"""What is written down of pictures on the web: what is known of an address, and what it stands for in a run.

Anybody who may write to the workspace can have written one, so each is checked as it is read.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationError

from restyle.errors import InputNotFound, InputRefused, InputUnreachable, InvalidImage, JobError, RestyleError
from restyle.formats import SchemaVersion
from restyle.keys import Workspace
from restyle.models import Job
from restyle.s3.store import Store
from restyle.value import UtcTime, Value

V = TypeVar("V", bound=Value)
#: Bytes of one of these objects.
_MOST = 16_000
_FAILURES: dict[str, type[JobError]] = {
    kind.code: kind for kind in (InputNotFound, InputRefused, InputUnreachable, InvalidImage)
}

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Suffix = Annotated[str, Field(pattern=r"^\.[a-z0-9]{1,8}$")]
#: What a server gave to be asked by again: one line of a header.
Validator = Annotated[str, Field(pattern=r"^[\x20-\x7e]*$", max_length=500)]


class Known(Value):
    """`inputs/web/<sha256 of the address>.json`: what came when the address was fetched last."""

    schema_version: SchemaVersion = 1
    address: str = Field(max_length=4_000)
    """Without what may be a secret."""
    sha256: Sha256
    """Of the picture, which lies at `inputs/<sha256><suffix>`."""
    suffix: Suffix
    bytes: int = Field(ge=1)
    etag: Validator = ""
    last_modified: Validator = ""
    final: Sha256 | Literal[""] = ""
    """The name of the address that answered, behind all redirects: these two are of that one."""
    fetched: UtcTime


class Pin(Value):
    """`runs/<run>/web/<sha256 of the address>.json`: what the address stands for in the run, for good."""

    schema_version: SchemaVersion = 1
    address: str = Field(max_length=4_000)
    sha256: Sha256 | Literal[""] = ""
    """Of the picture; empty where there is none."""
    suffix: Suffix | Literal[""] = ""
    error: str = ""
    """Why there is none, as the code of an outcome."""
    message: str = Field("", max_length=1_000)
    http_status: int | None = None
    pinned: UtcTime

    def uri(self, workspace: Workspace) -> str:
        """Where the picture lies.

        Raises:
            JobError: there is none.
        """
        if self.error or not (self.sha256 and self.suffix):
            kind = _FAILURES.get(self.error, InputUnreachable)
            raise kind(f"{self.address}: {self.message}", self.http_status)
        return workspace.input(self.sha256, self.suffix)


def find_known(name: str, store: Store, workspace: Workspace) -> Known | None:
    """What is known of an address; what cannot be read counts as nothing."""
    return _find(Known, workspace.web_input(name), store)


def find_pin(run_id: str, name: str, store: Store, workspace: Workspace) -> Pin | None:
    """What an address stands for in a run; None where that is not decided."""
    return _find(Pin, workspace.web_pin(run_id, name), store)


def in_s3(job: Job, run_id: str, store: Store, workspace: Workspace) -> Job:
    """A job with its input's place in S3; as it is where it has none, or none on the web."""
    if not job.web:
        return job
    try:
        pin = find_pin(run_id, job.web, store, workspace)
        return job.model_copy(update={"image": pin.uri(workspace)}) if pin else job
    except RestyleError:
        return job


def _find(kind: type[V], uri: str, store: Store) -> V | None:
    try:
        return kind.read(store.get(uri, max_bytes=_MOST).data)
    except (InputNotFound, InvalidImage, ValidationError):
        return None
