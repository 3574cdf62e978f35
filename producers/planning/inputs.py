"""`--check-inputs`: what workers would refuse of the inputs, by reading all of each as they do."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from producers.manifest import Entry, Problems
from producers.planning.jobs.planner import FirstPass, Planner
from restyle import images
from restyle.errors import InputNotFound, InvalidImage, ObjectRefused, StoreAccessDenied
from restyle.models import RunOptions
from restyle.s3.store import Store
from restyle.web.address import is_web

#: Inputs that are read at a time: each may take as much memory as a picture does.
_AT_ONCE = 4


def check_inputs(planner: Planner, first_pass: FirstPass, options: RunOptions, store: Store | None) -> None:
    """Reads every input; what is missing, or would be refused by workers, is a problem of its line."""
    larger, max_side = 0, options.preparation.max_side
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting: deque[tuple[int, Entry, Future[tuple[int, int] | str]]] = deque()
        for ordinal, entry in _planned(planner, first_pass):
            waiting.append((ordinal, entry, pool.submit(partial(look, entry.image, options, store))))
            if len(waiting) > 4 * _AT_ONCE:
                larger += _take_size(*waiting.popleft(), first_pass, max_side)
        for item in waiting:
            larger += _take_size(*item, first_pass, max_side)
    if larger:
        first_pass.problems.warn(f"{larger:,} pictures are larger than {max_side} px and will come back smaller")


def look(image: str, options: RunOptions, store: Store | None) -> tuple[int, int] | str:
    """The picture's size in pixels, or why workers would refuse it."""
    if image.startswith("s3://") and store is None:
        return "lies in S3, which is not open here"
    try:
        return images.check(_data(image, store), options.preparation, options.inputs)
    except InvalidImage as error:
        return error.message.removeprefix(f"{image}: ")
    except InputNotFound:
        return "there is no such object"
    except (ObjectRefused, StoreAccessDenied) as error:
        return f"missing, or reading it is not allowed ({error.message})"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _data(image: str, store: Store | None) -> bytes:
    if store is not None and image.startswith("s3://"):
        return store.get(image, max_bytes=images.MAX_INPUT_BYTES).data
    if (size := Path(image).stat().st_size) > images.MAX_INPUT_BYTES:
        raise InvalidImage(f"is {size / 1e6:,.0f} MB; at most {images.MAX_INPUT_BYTES / 1e6:,.0f} MB can be sent")
    return Path(image).read_bytes()


def _planned(planner: Planner, first_pass: FirstPass) -> Iterator[tuple[int, Entry]]:
    is_part = first_pass.chosen is not None and not planner.then_ask
    chosen = {ordinal for ordinal, _ in first_pass.chosen or ()} if is_part else None
    on_the_web = 0
    for ordinal, entry in planner.entries(Problems()):
        if ordinal not in first_pass.rejected and (chosen is None or ordinal in chosen):
            if is_web(entry.image):
                on_the_web += 1
            else:
                yield ordinal, entry
    if on_the_web:
        first_pass.problems.warn(f"{on_the_web:,} pictures on the web are not looked at: workers fetch them")


def _take_size(
    ordinal: int, entry: Entry, seen: Future[tuple[int, int] | str], first_pass: FirstPass, max_side: int
) -> bool:
    """Notes what was seen; answers whether the picture is larger than what is sent."""
    size = seen.result()
    if isinstance(size, str):
        first_pass.problems.add(entry.source, entry.line, "image", f"{entry.image}: {size}")
        first_pass.rejected.add(ordinal)
        return False
    return bool(max_side) and max(size) > max_side
