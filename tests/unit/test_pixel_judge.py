"""What is made of pictures, judged by another decoder (bench/judge.py) over PngSuite; its licence is in the archive."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from bench.judge import has_judge, judged
from restyle import images
from restyle.fingerprint import Preparation

SUITE = Path(__file__).parent.parent / "support" / "pngsuite.zip"
#: Pictures of other gammas, to which ImageMagick 6 shuts its eyes.
OTHER_GAMMAS = re.compile(r"g(03|05|07|25)n")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures of PngSuite."""
    folder = tmp_path_factory.mktemp("pngsuite")
    with ZipFile(SUITE) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.skipif(not has_judge(), reason="ImageMagick is not installed")
def test_no_picture_is_wrong_without_a_word(suite: Path) -> None:
    """Each is as ImageMagick has it, or refused as it is refused there; damaged ones are refused."""
    verdicts = {one.path.name: one for one in judged([suite])}
    wrong = {name for name, one in verdicts.items() if not one.refused and not one.agrees}
    assert {name for name in wrong if not OTHER_GAMMAS.match(name)} == set()
    refused = {name for name, one in verdicts.items() if one.refused and name.endswith(".png")}
    assert {name for name in refused if not name.startswith("x")} == {
        f"s0{side}{way}3p0{depth}.png" for side in range(1, 8) for way in "in" for depth in (1 if side < 5 else 2,)
    }, "all others have at least 8 pixels a side"
    assert {name for name in verdicts if name.startswith("x")} <= refused


def test_the_same_picture_of_another_gamma(suite: Path) -> None:
    """It comes out as that of the usual one, but for the figure that is drawn in it."""
    for kind in ("0g16", "2c08", "3p04"):
        made = {}
        for gamma in ("04", "03", "05", "07", "10", "25"):
            data = (suite / f"g{gamma}n{kind}.png").read_bytes()
            with Image.open(BytesIO(images.prepare(data, Preparation()).data)) as image:
                made[gamma] = np.asarray(image.convert("RGB"), dtype=int)
        for other in made.values():
            assert np.percentile(np.abs(other - made["04"]), 75) <= 6
