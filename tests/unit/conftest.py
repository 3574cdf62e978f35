"""What three thousand short tests have in common: a folder is made for those alone that ask for one of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests of this process."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture
def working_folder(request: pytest.FixtureRequest, shared_folder: Path) -> Iterator[Path]:
    """The test's own, where it has one; else the shared one, which is empty at its start."""
    if "tmp_path" in request.fixturenames:
        yield request.getfixturevalue("tmp_path")
        return
    yield shared_folder
    for path in shared_folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
