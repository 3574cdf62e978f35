"""The small pictures of a report's page: within it where they are few, else in the folder `report/` beside it."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from restyle import images
from restyle.errors import RestyleError
from restyle.s3.store import Store

#: Longest side, in pixels.
SIDE = 400
#: Of JPEG, from 1 to 95: what is to be judged closely is judged in full size.
QUALITY = 74
#: Bytes of pictures up to which a page is one file.
ONE_FILE = 1_500_000
#: The folder's name.
FOLDER = "report"
_THREADS = 8
#: Pictures that are decoded at a time: each takes ten times its file, and a report is written beside a worker's calls.
_DECODED = 2


class Album:
    """Makes the pictures and keeps them where they belong; several threads share the work.

    In the folder a picture is named by its content, so that a later report of the same run changes none that an
    earlier page shows.
    """

    def __init__(self, store: Store, page: str) -> None:
        self._store = store
        self._folder = page.rpartition("/")[0]
        self._room = ONE_FILE
        self._lock = threading.Lock()
        self._decoding = threading.Semaphore(_DECODED)
        #: Width and height of each picture that was made, by its s3:// URI.
        self.sizes: dict[str, tuple[int, int]] = {}

    def addresses(self, uris: Iterable[str]) -> dict[str, str]:
        """What the page calls its pictures, by their s3:// URI; one that cannot be read or decoded is left out."""
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="thumbnail") as pool:
            made = {uri: small for uri, small in pool.map(self._make, uris) if small}
            if self._room >= 0:
                return {
                    uri: small
                    if isinstance(small, str)
                    else f"data:image/jpeg;base64,{base64.b64encode(small).decode()}"
                    for uri, small in made.items()
                }
            kept = pool.map(lambda small: small if isinstance(small, str) else self._keep(small), made.values())
            return dict(zip(made, kept, strict=True))

    def _make(self, uri: str) -> tuple[str, bytes | str]:
        """A picture's bytes while there is room for them in the page, else its address; empty where there is none."""
        try:
            stored = self._store.get(uri, max_bytes=images.MAX_INPUT_BYTES)
            with self._decoding:
                small = images.thumbnail(stored.data, SIDE, quality=QUALITY)
        except (RestyleError, ValueError):  # the report is worth more than one picture in it
            return uri, b""
        with self._lock:
            self.sizes[uri] = images.size_of(small)
            self._room -= len(small)
            fits = self._room >= 0
        return uri, small if fits else self._keep(small)

    def _keep(self, small: bytes) -> str:
        """Stores a picture in the folder."""
        name = f"{FOLDER}/{hashlib.sha256(small).hexdigest()[:20]}.jpg"
        self._store.put(f"{self._folder}/{name}", small, content_type="image/jpeg")
        return name
