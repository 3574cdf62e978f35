"""From the answer's bytes to the bytes that are stored: the form that is set, and the mark.

What is paid for is never lost here: a step that fails leaves the picture as it was, and the record says which.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from restyle import images
from restyle.errors import Misconfigured
from restyle.images import Picture, xmp
from restyle.images.c2pa import Signer
from restyle.job.context import Tools, Work
from restyle.outputs import NO_MARK, Marks, OutputOptions
from restyle.record import RecordOutput


@dataclass(frozen=True)
class Finished:
    """A picture as it is stored."""

    data: bytes
    picture: Picture


@dataclass(frozen=True)
class Finisher:
    """How the pictures of one job are finished."""

    options: OutputOptions
    tool: str
    """What made them, with its version."""
    job_id: str

    signer: Signer | None = None

    def finish(
        self, answers: Sequence[bytes], pictures: Sequence[Picture], source: bytes = b""
    ) -> tuple[list[Finished], Marks]:
        """The pictures of an answer in their form, marked, and signed as edited from their source if it is given."""
        faults: list[str] = []
        is_signed = self.options.c2pa and self.signer is not None and bool(source)
        made = [
            self._signed(self._marked(self._formed(Finished(data, picture), faults), faults), source, faults)
            for data, picture in zip(answers, pictures, strict=True)
        ]
        unmarked = any(fault.startswith("mark:") for fault in faults)
        return made, Marks(
            provenance="" if unmarked else self.options.mark,
            c2pa=is_signed and not any(fault.startswith("c2pa:") for fault in faults),
            faults=tuple(dict.fromkeys(faults)),
        )

    def _formed(self, given: Finished, faults: list[str]) -> Finished:
        content_type = self.options.content_type
        if not content_type or given.picture.content_type == content_type:
            return given

        def form() -> Finished:
            data = images.transcode(given.data, content_type, self.options.quality)
            return Finished(data, Picture(given.picture.width, given.picture.height, content_type))

        return _tried("form", form, given, faults)

    def _marked(self, given: Finished, faults: list[str]) -> Finished:
        if self.options.mark == NO_MARK:
            return given

        def mark() -> Finished:
            data = xmp.mark(given.data, source_type=self.options.mark, tool=self.tool, job_id=self.job_id)
            return Finished(data, given.picture)

        return _tried("mark", mark, given, faults)

    def _signed(self, given: Finished, source: bytes, faults: list[str]) -> Finished:
        signer = self.signer
        if not self.options.c2pa or signer is None or not source:
            return given

        def sign() -> Finished:
            data = signer.sign(
                given.data, given.picture.content_type, source=source, tool=self.tool, job_id=self.job_id,
                source_type="" if self.options.mark == NO_MARK else self.options.mark,
            )  # fmt: skip
            return Finished(data, given.picture)

        return _tried("c2pa", sign, given, faults)


def check_signer(work: Work, tools: Tools) -> None:
    """Raises Misconfigured where a run wants signed outputs and this worker cannot sign, before anything is paid."""
    if work.options.outputs.c2pa and tools.signer is None:
        raise Misconfigured(
            "the run wants signed outputs (RESTYLE_C2PA), and this worker has no certificate: set"
            " RESTYLE_C2PA_CERTIFICATE and RESTYLE_C2PA_KEY_FILE where workers are started"
        )


def finisher(work: Work, tools: Tools) -> Finisher:
    """How the pictures of the job in hand are finished."""
    return Finisher(
        work.options.outputs, f"restyle {tools.version} ({work.options.model})", work.message.job_id, tools.signer
    )


def recorded(uri: str, finished: Finished, etag: str = "") -> RecordOutput:
    """What a record says of an output; its ETag is known once it is put."""
    picture = finished.picture
    return RecordOutput(
        uri=uri, sha256=hashlib.sha256(finished.data).hexdigest(), bytes=len(finished.data),
        width=picture.width, height=picture.height, content_type=picture.content_type, etag=etag,
    )  # fmt: skip


def _tried(name: str, step: Callable[[], Finished], given: Finished, faults: list[str]) -> Finished:
    try:
        return step()
    except Exception as error:  # noqa: BLE001 - whatever it is, the picture has been paid for
        faults.append(f"{name}: {type(error).__name__}: {error}"[:300])
        return given
