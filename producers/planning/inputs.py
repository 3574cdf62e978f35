"""`plan --check-inputs`: whether each input is there, and how many will come back smaller than they went."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from producers.manifest import Entry, Problems
from producers.planning.first_pass import Census, Planner
from restyle import images
from restyle.errors import InputNotFound, ObjectRefused, StoreAccessDenied
from restyle.s3.store import Store
from restyle.web.address import is_web

_AT_ONCE = 16


def check_inputs(planner: Planner, census: Census, max_side: int, store: Store | None) -> None:
    """Looks at the beginning of every input; what is missing or no picture is a problem of its line."""
    larger = 0
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting: deque[tuple[int, Entry, Future[tuple[int, int] | str]]] = deque()
        for ordinal, entry in _planned(planner, census):
            waiting.append((ordinal, entry, pool.submit(partial(look, entry.image, store))))
            if len(waiting) > 4 * _AT_ONCE:
                larger += _settle(*waiting.popleft(), census, max_side)
        for item in waiting:
            larger += _settle(*item, census, max_side)
    if larger:
        census.problems.warn(f"{larger:,} pictures are larger than {max_side} px and will come back smaller")


def look(image: str, store: Store | None) -> tuple[int, int] | str:
    """The picture's size in pixels, or why there is none."""
    if not image.startswith("s3://"):
        try:
            with Path(image).open("rb") as file:
                return images.size_of(file) or "is no picture that can be read"
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"
    if store is None:
        return "lies in S3, which is not open here"
    try:
        return store.patiently(partial(_size, image, store)) or "is no picture that can be read"
    except InputNotFound:
        return "there is no such object"
    except (ObjectRefused, StoreAccessDenied) as error:
        return f"missing, or reading it is not allowed ({error.message})"


def _size(image: str, store: Store) -> tuple[int, int] | None:
    with store.open(image) as body:
        return images.size_of(body)


def _planned(planner: Planner, census: Census) -> Iterator[tuple[int, Entry]]:
    is_part = census.chosen is not None and not planner.then_ask
    chosen = {ordinal for ordinal, _ in census.chosen or ()} if is_part else None
    on_the_web = 0
    for ordinal, entry in planner.entries(Problems()):
        if ordinal not in census.rejected and (chosen is None or ordinal in chosen):
            if is_web(entry.image):
                on_the_web += 1
            else:
                yield ordinal, entry
    if on_the_web:
        census.problems.warn(f"{on_the_web:,} pictures on the web are not looked at: workers fetch them")


def _settle(ordinal: int, entry: Entry, seen: Future[tuple[int, int] | str], census: Census, max_side: int) -> bool:
    """Notes what was seen; answers whether the picture is larger than what is sent."""
    size = seen.result()
    if isinstance(size, str):
        census.problems.add(entry.source, entry.line, "image", f"{entry.image}: {size}")
        census.rejected.add(ordinal)
        return False
    return bool(max_side) and max(size) > max_side
