"""What many tests of one seam begin with."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from restyle.keys import Workspace
from restyle.s3.store import Store
from tests.support.certificates import write_authority
from tests.support.servers import S3


@pytest.fixture
def store(s3: S3) -> Iterator[Store]:
    """The door to the S3 server."""
    store = s3.store
    yield store
    store.close()


@pytest.fixture
def workspace(s3: S3) -> Workspace:
    """A prefix of this test alone."""
    return s3.workspace


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A company's own authority, and TLS for localhost with a certificate that it has signed."""
    root, cert, key = write_authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return root, context
