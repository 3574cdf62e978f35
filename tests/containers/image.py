"""An image's own layers: how large they are, and what is in them but for time stamps."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.containers.engine import Engine
from tests.support.compose import ROOT

VERSION_LABEL = "org.opencontainers.image.version"


@dataclass(frozen=True)
class Layers:
    """What an image has over its base."""

    size: int
    #: What each file is, by its layer and path.
    files: dict[tuple[int, str], str]

    @property
    def digest(self) -> str:
        """One digest of everything but time stamps."""
        lines = (f"{layer} {path} {what}\n" for (layer, path), what in sorted(self.files.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def differing(self, other: Layers) -> list[str]:
        """The paths that are not alike in both."""
        return sorted({path for (_, path), _ in self.files.items() ^ other.files.items()})


def build(engine: Engine, name: str, version: str, *options: str) -> None:
    """Builds the checkout's Dockerfile under this name."""
    engine.run("build", "--label", f"{VERSION_LABEL}={version}", "--tag", name, *options, str(ROOT))


def own_layers(engine: Engine, name: str, base: str, folder: Path) -> Layers:
    """The layers that an image has and its base has not."""
    below: list[str] = json.loads(engine.run("image", "inspect", "--format", "{{json .RootFS.Layers}}", base))
    archive = folder / "image.tar"
    engine.run("save", "--output", str(archive), name)
    try:
        return layers_of(archive, len(below))
    finally:
        archive.unlink()


def layers_of(archive: Path, below: int) -> Layers:
    """The layers of an image's archive, without so many at the bottom."""
    size, files = 0, {}
    with tarfile.open(archive) as image:
        (manifest,) = json.load(_opened(image, "manifest.json"))
        for number, name in enumerate(manifest["Layers"][below:]):
            with tarfile.open(fileobj=_opened(image, name)) as layer:
                for path, length, what in _files(layer):
                    size += length
                    files[number, path] = what
    return Layers(size, files)


def _files(layer: tarfile.TarFile) -> Iterator[tuple[str, int, str]]:
    for member in layer:
        content = _opened(layer, member).read() if member.isreg() else b""
        if member.name.endswith(".pyc"):
            content = _timeless(content)
        owner = f"{member.mode:o} {member.uid}:{member.gid}"
        yield (
            member.name.removeprefix("./"), len(content),
            f"{member.type.decode()} {owner} {member.linkname} {hashlib.sha256(content).hexdigest()}",
        )  # fmt: skip


def _timeless(compiled: bytes) -> bytes:
    """Compiled Python without its source's time, which PEP 552 has in bytes 8 to 11 where the flags are 0."""
    return compiled[:8] + bytes(4) + compiled[12:] if compiled[4:8] == bytes(4) else compiled


def _opened(archive: tarfile.TarFile, member: str | tarfile.TarInfo) -> IO[bytes]:
    opened = archive.extractfile(member)
    if opened is None:
        raise ValueError(f"no file in the archive: {member!r}")
    return opened
