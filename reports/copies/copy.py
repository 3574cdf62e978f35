"""A run's page on this machine: the page with its pictures, in a folder that can be opened, sent or archived."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from reports.pages.grid import GRID
from reports.pages.page import relinked
from reports.pages.thumbnails import FOLDER
from restyle.keys import Workspace
from restyle.s3.store import Store

_PICTURE = re.compile(rf'src="{FOLDER}/([0-9a-f]+\.jpg)"')
_THREADS = 16


def copy_page(run_id: str, folder: Path, *, store: Store, workspace: Workspace, link: Callable[[str], str]) -> Path:
    """Copies the page of a run whose report is written; only pictures that are not there yet are fetched.

    Args:
        run_id: the run.
        folder: where to; made where it is missing.
        store: S3.
        workspace: where the run lies.
        link: the address of an object in full size by its s3:// URI, as it holds for the copy; empty for none.

    Returns:
        The page as a file.

    Raises:
        InputNotFound: the report is not written.
    """
    page = store.get(workspace.run(run_id, "report.html")).data.decode()
    pictures = folder / FOLDER
    names = [name for name in dict.fromkeys(_PICTURE.findall(page)) if not (pictures / name).exists()]
    folder.mkdir(parents=True, exist_ok=True)

    def fetch(name: str) -> None:
        stored = store.find(workspace.run(run_id, FOLDER, name))
        if stored is not None:
            _write(pictures / name, stored.data)

    if names:
        pictures.mkdir(exist_ok=True)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="copy") as pool:
            list(pool.map(fetch, names))
    copy = folder / "report.html"
    copy.write_text(relinked(page, link), encoding="utf-8")
    return copy


def _write(file: Path, content: bytes) -> None:
    """Writes a file whole or not at all: one that is there is taken for whole by the next copy."""
    draft = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        draft.write_bytes(content)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def copy_grid(run_id: str, folder: Path, *, store: Store, workspace: Workspace) -> Path:
    """Copies a trial's page, which is one file; answers with it.

    Raises:
        InputNotFound: the report is not written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / GRID
    copy.write_bytes(store.get(workspace.run(run_id, GRID)).data)
    return copy
