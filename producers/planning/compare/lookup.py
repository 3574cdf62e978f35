"""What S3 says of many objects: their ETags, by listing where they lie close together, else by HEAD; who made them."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby, islice

from restyle.errors import ObjectRefused, StoreAccessDenied
from restyle.keys import split_uri
from restyle.s3.store import Store

#: Requests at a time.
AT_ONCE = 16
#: Objects that are looked for together, and the fewest that are worth a listing.
_CHUNK, _FEWEST = 1000, 20
#: A listing is broken off after this many objects for each one that is looked for: the rest is asked for by HEAD.
_LISTED_EACH = 10


def etags(uris: Iterable[str], store: Store, *, confirm: bool = True) -> Iterator[tuple[str, str | None]]:
    """Each object with its ETag, None where there is none; as many requests as there are thousands, at best.

    Args:
        uris: s3:// URIs in ascending order, each once.
        store: S3.
        confirm: whether to ask again for what a listing does not show; without, a listing is believed.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _, together in groupby(uris, lambda uri: split_uri(uri)[0]):
            while chunk := list(islice(together, _CHUNK)):
                listed, whole = _listed(chunk, store) if len(chunk) >= _FEWEST else ({}, False)
                missing = [uri for uri in chunk if uri not in listed] if confirm or not whole else []
                asked = dict(zip(missing, pool.map(partial(_head, store=store), missing), strict=True))
                yield from ((uri, listed.get(uri) or asked.get(uri)) for uri in chunk)


def _listed(chunk: list[str], store: Store) -> tuple[dict[str, str], bool]:
    """What a listing from the first to the last of them tells, and whether it is all there is to tell."""
    first, last, wanted = chunk[0], chunk[-1], set(chunk)
    prefix = posixpath.commonprefix([first, last]).rpartition("/")[0] + "/"
    found: dict[str, str] = {}
    before = ""
    try:
        # Begins before the first: what it begins after is not listed.
        for number, listed in enumerate(store.list(prefix, after=first[:-1])):
            if listed.uri < before or number > _LISTED_EACH * len(chunk):
                return found, False  # not every S3 server sorts
            before = listed.uri
            if listed.uri in wanted:
                found[listed.uri] = listed.etag
            if listed.uri >= last:
                break
    except (ObjectRefused, StoreAccessDenied):
        return found, False  # who may read an object may not always list
    return found, True


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


def _head(uri: str, store: Store) -> str | None:
    """An object's ETag; one that may not be looked at is as good as missing."""
    try:
        head = store.head(uri)
    except (ObjectRefused, StoreAccessDenied):
        return None
    return head.etag if head else None
