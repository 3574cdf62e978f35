"""A report's page on this machine: what a full disk cuts off is fetched whole the next time."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reports.copies.copy import copy_page
from reports.pages.thumbnails import FOLDER
from restyle.keys import Workspace
from tests.support.in_memory import MemoryStore

WORKSPACE = Workspace("s3://shop/team")
RUN = "20260131T120000Z-ab12cd"


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes meanwhile, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_picture_that_was_cut_off_is_fetched_again(tmp_path: Path) -> None:
    """Pictures that are there are not fetched again: so none may be there in part."""
    store, name, picture = MemoryStore(), f"{'0' * 20}.jpg", b"picture" * 1000
    page = f'<img src="{FOLDER}/{name}">'.encode()
    store.put(WORKSPACE.run(RUN, "report.html"), page, content_type="text/html")
    store.put(WORKSPACE.run(RUN, FOLDER, name), picture, content_type="image/jpeg")
    with room_for(1000), pytest.raises(OSError, match="large"):
        copy_page(RUN, tmp_path, store=store, workspace=WORKSPACE, link=str)
    assert list((tmp_path / FOLDER).iterdir()) == []
    copy_page(RUN, tmp_path, store=store, workspace=WORKSPACE, link=str)
    assert (tmp_path / FOLDER / name).read_bytes() == picture
