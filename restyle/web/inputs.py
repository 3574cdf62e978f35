"""What an address stands for in a run: decided once, written down before anything is made of it, and then for good.

Bytes first, by content; then the pin, which decides; then what is known of the address for the next run. Cut off in
between, it is done again, and what was pinned first holds.
"""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass

from restyle.errors import InputNotFound, InputUnreachable, JobError, RestyleError
from restyle.keys import Workspace
from restyle.models import Refetch, utc_now
from restyle.s3.store import Store
from restyle.web.address import Address, LostAddress
from restyle.web.fetching import Fetched, Fetcher
from restyle.web.records import Known, Pin, find_known, find_pin


@dataclass(frozen=True)
class WebInputs:
    """Fetches for runs, and keeps what came."""

    fetcher: Fetcher
    store: Store
    workspace: Workspace

    def pin(
        self, run_id: str, address: Address | LostAddress, refetch: Refetch, *, retry_of: str | None = None
    ) -> tuple[Pin, str]:
        """What an address stands for in a run, fetched where that is not decided yet; and how that was decided.

        Args:
            run_id: the run.
            address: the whole address; of one that is lost, what is fetched already can still be had.
            refetch: whether it is requested again where its picture is known.
            retry_of: the run whose jobs are run again: what it fetched is what they are made from, so that what was
                paid for them can be placed, and a link that has ended since is not needed.

        Raises:
            WebUnavailable: the server fails, cannot be reached, or asks for patience: nothing is decided.
            StoreUnavailable, StoreAccessDenied, ObjectRefused: of S3.
        """
        if pinned := find_pin(run_id, address.name, self.store, self.workspace):
            return pinned, "pinned"
        if refetch != "always" and (earlier := self._fetched_by(retry_of, address)):
            return self._put(run_id, address, earlier.model_copy(update={"pinned": utc_now()})), "known"
        known = None if refetch == "always" else self._known(address)
        try:
            if known is not None and refetch == "never":
                return self._decide(run_id, address, known), "known"
            if isinstance(address, LostAddress):
                raise InputNotFound(
                    f"its whole address is lost: {address.place} is gone, or cannot be read; run its manifest again"
                )
            fetched = self.fetcher.fetch(address, known)
        except JobError as error:
            return self.fail(run_id, address, error), error.code
        if fetched is None:
            assert known is not None, "a server that was asked without a condition has no say of what is known"
            return self._decide(run_id, address, known), "unchanged"
        now = self._keep(address, fetched)
        pin = self._decide(run_id, address, now)
        if known is None or now.model_copy(update={"fetched": known.fetched}) != known:
            body = now.model_dump_json(indent=1).encode()
            self.store.put(self.workspace.web_input(address.name), body, content_type="application/json")
        return pin, "fetched" if known is None or known.sha256 != now.sha256 else "same"

    def fail(self, run_id: str, address: Address | LostAddress, error: RestyleError) -> Pin:
        """Decides that there is no picture to be had for a run."""
        code = error.code if isinstance(error, JobError) else InputUnreachable.code
        pin = Pin(
            address=address.shown, error=code, message=error.message[:1000], pinned=utc_now(),
            http_status=error.http_status,
        )  # fmt: skip
        return self._put(run_id, address, pin)

    def _fetched_by(self, run_id: str | None, address: Address | LostAddress) -> Pin | None:
        """What an earlier run fetched, where it is still there."""
        pin = find_pin(run_id, address.name, self.store, self.workspace) if run_id else None
        if pin is None or not (pin.sha256 and pin.suffix) or pin.error:
            return None
        return pin if self.store.head(self.workspace.input(pin.sha256, pin.suffix)) else None

    def _known(self, address: Address | LostAddress) -> Known | None:
        """What is known of an address, where its picture is still there."""
        known = find_known(address.name, self.store, self.workspace)
        if known is None or self.store.head(self.workspace.input(known.sha256, known.suffix)) is None:
            return None
        return known

    def _keep(self, address: Address, fetched: Fetched) -> Known:
        """Stores what came, once by content; what is known of the address is the same object where nothing changed."""
        sha256 = hashlib.sha256(fetched.data).hexdigest()
        uri = self.workspace.input(sha256, fetched.suffix)
        if self.store.head(uri) is None:
            kind = mimetypes.types_map.get(fetched.suffix, "application/octet-stream")
            self.store.put(uri, fetched.data, content_type=kind)
        return Known(
            address=address.shown, sha256=sha256, suffix=fetched.suffix, bytes=len(fetched.data), etag=fetched.etag,
            last_modified=fetched.last_modified, final=fetched.final, fetched=utc_now(),
        )  # fmt: skip

    def _decide(self, run_id: str, address: Address | LostAddress, known: Known) -> Pin:
        pin = Pin(address=address.shown, sha256=known.sha256, suffix=known.suffix, pinned=utc_now())
        return self._put(run_id, address, pin)

    def _put(self, run_id: str, address: Address | LostAddress, pin: Pin) -> Pin:
        """Writes a pin where there is none; answers with the one that holds."""
        uri, body = self.workspace.web_pin(run_id, address.name), pin.model_dump_json().encode()
        if self.store.create(uri, body, content_type="application/json"):
            return pin
        if pinned := find_pin(run_id, address.name, self.store, self.workspace):
            return pinned
        # Nobody can have gone by what cannot be read.
        self.store.put(uri, body, content_type="application/json")
        return pin
