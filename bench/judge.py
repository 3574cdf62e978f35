"""`python -m bench.judge FOLDER...`: what is made of pictures, judged by another decoder, pixel by pixel.

The judge is ImageMagick with LittleCMS (`convert`), which shares no code with Pillow but for the libraries of some
formats. Prints counts, and each picture on which they differ, or that one of them refuses.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from restyle import images
from restyle.errors import InvalidImage
from restyle.fingerprint import Preparation
from restyle.models import InputRules

#: Levels by which pixels may differ on the whole: decoders of JPEG and converters of colour round in ways of their own.
TOLERANCE = 3.0
_ANY = InputRules(min_side=1, max_ratio=0)
_SIZE = Preparation(max_side=100_000)


@dataclass(frozen=True)
class Verdict:
    """What became of one picture."""

    path: Path
    refused: str = ""
    """Why it would not be sent."""
    judged: bool = True
    """Whether the judge could read it, to the same size."""
    difference: float = 0.0
    """Mean levels."""

    @property
    def agrees(self) -> bool:
        """Whether both have the same picture."""
        return not self.refused and self.judged and self.difference <= TOLERANCE


def has_judge() -> bool:
    """Whether ImageMagick is installed; other programs are called `convert` too."""
    try:
        version = subprocess.run(["convert", "-version"], capture_output=True, check=False, timeout=60).stdout
    except OSError:
        return False
    return version.startswith(b"Version: ImageMagick")


def judge(path: Path, profile: Path) -> Verdict:
    """Judges one picture."""
    try:
        made = images.prepare(path.read_bytes(), _SIZE, _ANY, look=False)
    except InvalidImage as error:
        return Verdict(path, error.message)
    with Image.open(BytesIO(made.data)) as image:
        ours = np.asarray(image.convert("RGB"), dtype=np.int16)
    page = next((int(step.split()[1]) - 1 for step in made.steps if step.startswith("page ")), 0)
    theirs = _converted(path, page, profile)
    if len(theirs) != ours.size:
        return Verdict(path, judged=False)
    other = np.frombuffer(theirs, np.uint8).reshape(ours.shape).astype(np.int16)
    return Verdict(path, difference=float(np.abs(ours - other).mean()))


def _converted(path: Path, page: int, profile: Path) -> bytes:
    """The picture's pixels by the judge: upright, sRGB, on white."""
    command = [
        "convert", f"{path}[{page}]", "-auto-orient", "+repage", "-black-point-compensation", "-intent", "Relative",
        "-profile", str(profile), "-colorspace", "sRGB", "-background", "white", "-flatten", "-depth", "8", "rgb:-",
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, check=False, timeout=300).stdout


def judged(folders: Sequence[Path]) -> Iterator[Verdict]:
    """The verdicts on all files below folders."""
    paths = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        profile = Path(folder) / "srgb.icc"
        profile.write_bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
        yield from pool.map(lambda path: judge(path, profile), paths)


def main() -> None:
    """Prints what was seen."""
    parser = argparse.ArgumentParser(prog="python -m bench.judge", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    verdicts = list(judged(parser.parse_args().folders))
    refused, agree = sum(bool(one.refused) for one in verdicts), sum(one.agrees for one in verdicts)
    unjudged = sum(not one.judged for one in verdicts)
    sys.stdout.write(f"{len(verdicts)} files: {agree} alike, {refused} refused, {unjudged} not judged\n")
    for one in verdicts:
        if one.refused:
            sys.stdout.write(f"refused\t{one.path}\t{one.refused}\n")
        elif not one.agrees:
            sys.stdout.write(f"{'differs' if one.judged else 'not judged'}\t{one.path}\t{one.difference:.1f}\n")


if __name__ == "__main__":
    main()
