"""Manifests made on the spot, and what reading them gives."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from producers.manifest import Entry, LeftOut, Manifest, Problems, ReadOptions, open_manifest
from restyle.errors import ManifestError


@dataclass
class Read:
    """A manifest as it was read."""

    manifest: Manifest
    entries: list[Entry]
    told: list[str]
    """The problems, as `line: column: reason`."""
    warnings: list[str]
    left_out: dict[str, LeftOut]
    counts: dict[str, int]

    @property
    def images(self) -> list[str]:
        """Where the images of its entries are."""
        return [entry.image for entry in self.entries]

    @property
    def lines(self) -> list[int]:
        """Where its entries stand."""
        return [entry.line for entry in self.entries]

    @property
    def ids(self) -> list[str]:
        """The ids of its entries."""
        return [entry.id for entry in self.entries]


def read(content: str | bytes, columns: Mapping[str, str] | None = None, options: ReadOptions | None = None) -> Read:
    """What comes through a pipe as a manifest; it is read twice, and must give the same both times."""
    data = content.encode() if isinstance(content, str) else content
    options = options or ReadOptions(columns or {})
    return read_all(open_manifest("-", store=None, stdin=io.BytesIO(data), options=options))


def read_file(uri: str, options: ReadOptions | None = None) -> Read:
    """A local file or folder as a manifest."""
    return read_all(open_manifest(uri, store=None, options=options))


def read_all(manifest: Manifest) -> Read:
    """Everything that a manifest gives."""
    problems = Problems()
    entries = list(manifest.entries(problems))
    assert list(manifest.entries(Problems())) == entries
    told = [f"{found.line}: {found.column}: {found.reason}" for found in problems.listed]
    return Read(manifest, entries, told, problems.warnings, problems.left_out, problems.counts)


def good(content: str | bytes, columns: Mapping[str, str] | None = None, options: ReadOptions | None = None) -> Read:
    """A manifest that has no bad line."""
    found = read(content, columns, options)
    assert found.told == []
    return found


def refusal(content: str | bytes, columns: Mapping[str, str] | None = None, options: ReadOptions | None = None) -> str:
    """Why a manifest is refused as a whole."""
    with pytest.raises(ManifestError) as caught:
        read(content, columns, options)
    return caught.value.message
