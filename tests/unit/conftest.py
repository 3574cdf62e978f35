"""What three thousand short tests have in common: a folder is made for those alone that ask for one of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import OF_A_PERSON


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests of this process."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="session", autouse=True)
def no_settings() -> None:
    """No setting of the person who runs the tests reaches them; a test that sets one takes it back."""
    for name in [name for name in os.environ if name.startswith(OF_A_PERSON)]:
        del os.environ[name]


@pytest.fixture(autouse=True)
def clean_environment(request: pytest.FixtureRequest, shared_folder: Path) -> Iterator[None]:
    """Begins in the test's own folder, where it has one; else in the shared one, which is empty at its start."""
    has_folder = "tmp_path" in request.fixturenames
    os.chdir(request.getfixturevalue("tmp_path") if has_folder else shared_folder)
    yield
    os.chdir(request.config.invocation_params.dir)
    for path in () if has_folder else shared_folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
