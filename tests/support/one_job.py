"""One job in memory: its message, the tools of a worker, and what there is to see afterwards."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from restyle import images, pipeline
from restyle.coordination.claim_types import Claim
from restyle.coordination.runs.progress import Ended
from restyle.fingerprint import Fingerprint
from restyle.images import Prepared
from restyle.job import lookup
from restyle.job.commit import Made
from restyle.job.context import Called, Tools, Work
from restyle.job.parked.aside import Aside
from restyle.job.parked.on_disk import Spool
from restyle.keys import Workspace, derived_seed
from restyle.models import Job, Message, Params, RunOptions, utc_now
from restyle.record import Record
from restyle.runtime.clock import elapsed
from restyle.runtime.memory import MemoryBudget
from restyle.runtime.slots import Slots
from restyle.s3.store import Stored
from restyle.segmind.responses import Answer
from restyle.web.records import Pin
from tests.support.in_memory import Drain, Gate, MemoryApi, MemoryFleet, MemoryState, MemoryStore
from tests.support.pictures import corners, encode

WORKSPACE = Workspace("s3://shop/restyle")
RUN, LATER = "20260301T120000Z-aaaaaa", "20260302T120000Z-bbbbbb"


@functools.cache
def source_picture() -> bytes:
    """The input: 96 x 72, sent as it is."""
    return encode(corners(96, 72))


@functools.cache
def answer_picture() -> bytes:
    """What the API makes of it."""
    return encode(ImageOps.mirror(corners(96, 72)))


@functools.cache
def black_picture() -> bytes:
    """A picture that looks wrong."""
    return encode(Image.new("RGB", (96, 72)))


@functools.cache
def prepared_picture() -> Prepared:
    """The input as it is sent."""
    return images.prepare(source_picture(), RunOptions().preparation)


class OneJob:
    """A worker's tools in memory, and jobs for it."""

    def __init__(self) -> None:
        self.store, self.state = MemoryStore(), MemoryState()
        self.fleet, self.api = MemoryFleet(self.state), MemoryApi(answer_picture())
        self.stopping, self.unsaved = Drain(), Gate()
        self.tools = Tools(
            workspace=WORKSPACE, store=self.store, segmind=self.api, fleet=self.fleet, slots=Slots(1),
            memory=MemoryBudget(),
            stopping=self.stopping, unsaved=self.unsaved, aside=Aside(self.store, WORKSPACE),
            spool=Spool(Path(tempfile.gettempdir()) / "nowhere"), version="1.2.3", price=0.5,
        )  # fmt: skip
        self.image = "s3://shop/in/mug.jpg"
        self.put(self.image, source_picture())

    def put(self, uri: str, data: bytes, content_type: str = "image/jpeg", **metadata: str) -> str:
        """Puts an object as somebody else; its ETag."""
        etag = self.store.put(uri, data, content_type=content_type, metadata=metadata)
        self.store.requests.clear()
        return etag

    def touch(self, uri: str, etag: str) -> None:
        """The same bytes under another ETag."""
        self.store.objects[uri] = replace(self.store.objects[uri], etag=etag)

    def swap(self, uri: str, data: bytes) -> None:
        """Somebody else puts other bytes there, unseen."""
        stored = self.store.objects[uri]
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        self.store.objects[uri] = replace(stored, data=data, bytes=len(data), etag=etag)

    def rewrite(self, record: Record) -> None:
        """The job's record says something else."""
        self.put(WORKSPACE.record(record.id, record.variant), record.as_json().encode(), "application/json")

    def pin(self, address: str, name: str) -> None:
        """The run has fetched an address: it is the usual input."""
        sha256 = hashlib.sha256(source_picture()).hexdigest()
        pin = Pin(address=address, sha256=sha256, suffix=".jpg", pinned=utc_now())
        self.put(WORKSPACE.web_pin(RUN, name), pin.model_dump_json().encode(), "application/json")
        self.put(WORKSPACE.input(sha256, ".jpg"), source_picture())

    def other_worker(self) -> OneJob:
        """Another worker on the same S3, with calls of its own."""
        other = OneJob()
        other.with_tools(store=self.store, aside=Aside(self.store, WORKSPACE))
        other.store = self.store
        return other

    def again(self) -> OneJob:
        """As a new process knows it: nothing of what was set aside before."""
        self.with_tools(aside=Aside(self.store, WORKSPACE))
        return self

    # -- the job -------------------------------------------------------------------------------------------

    def work(self, run_id: str = RUN, *, entry: str = "mug", params: dict[str, Any] | None = None,
             job: dict[str, Any] | None = None, **options: Any) -> Work:  # fmt: skip
        """A message in hand: parameters, fields of the job, and options of its run, where they are not the usual."""
        job_id = WORKSPACE.job_id(entry, "felt")
        asked = Params(**{"prompt": "a mug in felt", "seed": derived_seed(job_id), **(params or {})})
        fields = {"image": self.image, "output": WORKSPACE.output(entry, "felt"), **(job or {})}
        made = Job(id=entry, variant="felt", params=asked, **fields)
        message = Message(run_id=run_id, shard=0, index=0, job_id=job_id, job=made)
        return Work(message, "token", RunOptions(**options))

    def run(self, run_id: str = RUN, **given: Any) -> Ended:
        """The whole pipeline."""
        return pipeline.run(self.work(run_id, **given), self.tools)

    def with_tools(self, **changes: Any) -> Tools:
        """Other tools from here on."""
        self.tools = replace(self.tools, **changes)
        return self.tools

    # -- its parts -----------------------------------------------------------------------------------------

    def fingerprint(self, work: Work) -> Fingerprint:
        """Of the usual input."""
        stored = self.store.objects[self.image]
        sha256 = hashlib.sha256(stored.data).hexdigest()
        return Fingerprint(etag=stored.etag, sha256=sha256, request=work.request)

    def called(self, claim: Claim | None = None, answer: Answer | None = None) -> Called:
        """A paid answer."""
        now = utc_now()
        return Called(claim or Claim("go"), answer or self.api.answer(), now, now, elapsed())

    def made(self, work: Work | None = None, *, claim: Claim | None = None, answer: Answer | None = None,
             known: Record | None = None, suspect: tuple[str, ...] = ()) -> Made:  # fmt: skip
        """A paid answer that is verified and not yet stored."""
        work = work or self.work()
        called = self.called(claim, answer)
        pictures = [images.verify(data) for data in called.answer.images]
        source = replace(self.store.objects[self.image], data=b"")
        return Made(
            work, known, source, self.fingerprint(work), prepared_picture(), called, pictures, suspect
        )  # fmt: skip

    # -- what there is afterwards --------------------------------------------------------------------------

    def record(self, entry: str = "mug") -> Record:
        """The job's record."""
        record = lookup.find_record(self.work(entry=entry).message, self.store, WORKSPACE)
        assert record is not None
        return record

    def has_record(self, entry: str = "mug") -> bool:
        """Whether there is one."""
        return WORKSPACE.record(entry, "felt") in self.store.objects

    def lose_record(self, entry: str = "mug") -> None:
        """As a worker does that dies before it writes one."""
        del self.store.objects[WORKSPACE.record(entry, "felt")]

    def lose_results(self) -> None:
        """The index is gone."""
        for uri in [uri for uri in self.store.objects if uri.startswith(WORKSPACE.under("results"))]:
            del self.store.objects[uri]

    def lose_copies(self) -> None:
        """What was replaced is kept no longer."""
        for uri in [uri for uri in self.store.objects if uri.startswith(WORKSPACE.under("replaced"))]:
            del self.store.objects[uri]

    def stored(self) -> Stored:
        """The input."""
        return self.store.objects[self.image]

    def output(self, entry: str = "mug") -> Stored:
        """What lies where an output goes."""
        return self.store.objects[WORKSPACE.output(entry, "felt")]


def held(one: OneJob) -> int:
    """Bytes of pictures that the worker has reserved."""
    return one.tools.memory._held
