"""v1 as a mode: one call, and one answer or one error."""

from __future__ import annotations

from dataclasses import dataclass

from restyle.job.modes import Call
from restyle.job.queued import Queued
from restyle.segmind.responses import Answer
from restyle.segmind.v1 import Segmind


@dataclass(frozen=True)
class Blocking:
    """v1: the answer is the end of the call. What v2 has begun is ended here too, so that a fleet may change."""

    segmind: Segmind
    queue: Queued

    @property
    def url(self) -> str:
        """Where calls go."""
        return self.segmind.url

    def img2img(self, call: Call) -> Answer:
        """One paid call."""
        if call.claim.verdict == "submitted":
            return self.queue.img2img(call)
        return self.segmind.img2img(call.upload, call.message.job.params)

    def resolve(self, call: Call) -> bool:  # noqa: ARG002 - nobody can tell here
        """A blocking call leaves nothing behind by which it could be found."""
        return False

    def fetch(self, url: str) -> bytes:
        """A picture that an answer links to."""
        return self.segmind.links.fetch(url)

    def close(self) -> None:
        """Closes the connections."""
        self.segmind.close()
        self.queue.close()
