"""What new outputs replace is set aside first, by content, so that it can be reused: docs/decisions/0031."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from restyle.errors import InputNotFound, InvalidImage
from restyle.job.context import Tools, Work
from restyle.job.outputs.locations import suffix_of
from restyle.job.outputs.metadata import sha256_of
from restyle.job.outputs.ownership import LARGEST, Owner
from restyle.record import Record
from restyle.s3.parameters import within_bucket


@dataclass(frozen=True)
class Replacing:
    """A job whose new outputs take the place of earlier ones."""

    work: Work
    known: Record | None
    """The job's record until now."""
    token: str
    """`Fingerprint.token` of the new result."""
    owner: Owner
    tools: Tools

    def set_aside(self, new: Collection[str], *, suspect: bool = False, sparing: Collection[str] = ()) -> list[str]:
        """Copies what is replaced to replaced/, and removes the record before the first new output is put.

        Nothing is touched that has become somebody else's since.

        Args:
            new: where the new outputs go.
            suspect: whether they look wrong: then a better picture of before stays where people look for it.
            sparing: places whose objects the new outputs are copied from.

        Returns:
            The copies.
        """
        copies, owner = [], self.owner
        known = {output.uri: output for output in self.known.outputs} if self.known else {}
        gone = [uri for uri in known if uri in new] if suspect else [*known]
        gone += [uri for uri in new if uri not in known]
        for uri in gone:
            if uri in sparing:
                continue
            if self.work.options.keep_replaced and (copy := self._kept(uri)):
                copies.append(copy)
            if uri not in new and (head := owner.head(uri)) and owner.owns(uri, head):
                self.tools.store.delete(uri)
        if self.known:
            self.tools.store.delete(self.tools.workspace.record(self.known.id, self.known.variant))
        return copies

    def _kept(self, uri: str) -> str:
        """The copy of an output of before; empty where there is nothing of this job's to keep."""
        owner, store = self.owner, self.tools.store
        known = next((output for output in self.known.outputs if output.uri == uri), None) if self.known else None
        copy = self.tools.workspace.replaced(known.sha256, suffix_of(known.content_type)) if known else ""
        head = owner.head(uri)
        if head is None or not owner.owns(uri, head):
            return self._earlier(copy)
        made = head.metadata
        if (made.get("fingerprint"), made.get("run_id")) == (self.token, self.work.message.run_id):
            return self._earlier(copy)  # put before S3 broke off
        try:
            # Its name says what it is: what the record says may be out of date.
            sha256 = sha256_of(uri, head, store, max_bytes=LARGEST)
            there = self.tools.workspace.replaced(sha256, suffix_of(head.content_type))
            # What lies there already is the same: to write it again takes no more than to ask for it.
            store.copy(uri, there, within_bucket(self.work.options.outputs.storing, uri, there))
        except (InputNotFound, InvalidImage):
            return self._earlier(copy)  # somebody removed it, or put something else there: nothing is left to keep
        return there

    def _earlier(self, copy: str) -> str:
        """The copy that was made before S3 broke off, or that another job has kept; empty where there is none."""
        return copy if copy and self.tools.store.head(copy) else ""
