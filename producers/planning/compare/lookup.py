"""What S3 says of many objects: their ETags, by listing where they lie close together, else by HEAD; who made them."""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import groupby, islice
from typing import NamedTuple

from restyle.errors import ObjectRefused, StoreAccessDenied
from restyle.s3.store import Store

#: Requests at a time.
AT_ONCE = 16
#: Objects that are looked for together, and the fewest that are worth a listing.
_CHUNK, _FEWEST = 5000, 20
#: Listings at a time.
_LISTINGS = 3
#: A listing is broken off after this many objects for each one that is looked for: the rest is asked for by HEAD.
_LISTED_EACH = 10


class Seen(NamedTuple):
    """An object as S3 shows it."""

    etag: str
    bytes: int


def etags(uris: Iterable[str], store: Store, *, confirm: bool = True) -> Iterator[tuple[str, str | None]]:
    """As `looked_up`, with each object's ETag."""
    return ((uri, seen.etag if seen else None) for uri, seen in looked_up(uris, store, confirm=confirm))


def looked_up(uris: Iterable[str], store: Store, *, confirm: bool) -> Iterator[tuple[str, Seen | None]]:
    """Each object as S3 shows it, None where there is none; as many requests as there are thousands, at best.

    Args:
        uris: s3:// URIs in ascending order, each once.
        store: S3.
        confirm: whether to ask again for what a listing does not show; without, a listing is believed.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool, ThreadPoolExecutor(_LISTINGS) as listings:
        waiting: deque[tuple[list[str], Future[tuple[dict[str, Seen], bool]]]] = deque()

        def lookups() -> Iterator[tuple[str, Seen | None]]:
            chunk, listing = waiting.popleft()
            listed, whole = listing.result()
            missing = [uri for uri in chunk if uri not in listed] if confirm or not whole else []
            heads = dict(zip(missing, pool.map(partial(_head, store=store), missing), strict=True))
            return ((uri, listed.get(uri) or heads.get(uri)) for uri in chunk)

        for _, together in groupby(uris, lambda uri: uri[: uri.find("/", len("s3://"))]):
            while chunk := list(islice(together, _CHUNK)):
                waiting.append((chunk, listings.submit(_listed, chunk, store)))
                if len(waiting) > _LISTINGS:
                    yield from lookups()
        while waiting:
            yield from lookups()


def _listed(chunk: list[str], store: Store) -> tuple[dict[str, Seen], bool]:
    """What a listing from the first to the last of them tells, and whether it is all there is to tell."""
    if len(chunk) < _FEWEST:
        return {}, False
    first, last, uris = chunk[0], chunk[-1], set(chunk)
    prefix = posixpath.commonprefix([first, last]).rpartition("/")[0] + "/"
    seen: dict[str, Seen] = {}
    before = ""
    try:
        # Begins before the first: what it begins after is not listed.
        for number, listed in enumerate(store.list(prefix, after=first[:-1])):
            if listed.uri < before or number > _LISTED_EACH * len(chunk):
                return seen, False  # not every S3 server sorts
            before = listed.uri
            if listed.uri in uris:
                seen[listed.uri] = Seen(listed.etag, listed.bytes)
            if listed.uri >= last:
                break
    except (ObjectRefused, StoreAccessDenied):
        return seen, False  # who may read an object may not always list
    return seen, True


def made_by_us(uris: Collection[str], store: Store) -> set[str]:
    """Those of the objects that are outputs of restyle, by their metadata."""

    def is_ours(uri: str) -> bool:
        try:
            head = store.head(uri)
        except (ObjectRefused, StoreAccessDenied):
            return False
        return head is not None and {"fingerprint", "run_id"} <= head.metadata.keys()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return {uri for uri, ours in zip(uris, pool.map(is_ours, uris), strict=True) if ours}


def etag_of(uri: str, store: Store) -> str:
    """An object's ETag; empty where there is none, or nobody may look at it."""
    seen = _head(uri, store)
    return seen.etag if seen else ""


def _head(uri: str, store: Store) -> Seen | None:
    """An object by itself; one that may not be looked at is as good as missing."""
    try:
        head = store.head(uri)
    except (ObjectRefused, StoreAccessDenied):
        return None
    return Seen(head.etag, head.bytes) if head else None
