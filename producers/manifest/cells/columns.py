"""The meaning of a table's columns, or of a JSON entry's keys. Used by table.py and document.py."""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from producers.manifest.cells.values import PARAMS, RESERVED

#: How the header of an earlier run's report begins (reports/report.py writes it).
REPORT_START = ("run_id", "job_id", "id", "variant", "image", "outcome")
#: Columns of a report about the run's results, which the next run does not use.
REPORT_ONLY = frozenset(
    {
        "run_id", "job_id", "outcome", "error", "http_status", "message", "attempts", "in_doubt", "credits",
        "output", "record", "suspect",
    }
)  # fmt: skip
#: The most columns that a table or an entry may have.
MAX_COLUMNS = 1000

#: The columns that are ours.
KNOWN = frozenset((*PARAMS, *RESERVED))
_META = "meta."


def plain(name: str) -> str:
    """A column's name without case, blanks and marks, by which the names of other programs are compared."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


#: Other names for our columns, from other tools and by haste; none is a likely column of a catalog.
_ALIASES = {plain(name): name for name in sorted(KNOWN)} | {
    "cfg": "guidance_scale",
    "cfgscale": "guidance_scale",
    "guidance": "guidance_scale",
    "guidancestrength": "guidance_scale",
    "denoise": "strength",
    "denoising": "strength",
    "denoisingstrength": "strength",
    "imagestrength": "strength",
    "inferencesteps": "num_inference_steps",
    "negprompt": "negative_prompt",
    "nsamples": "samples",
    "numberofinferencesteps": "num_inference_steps",
    "numberofsteps": "num_inference_steps",
    "numsamples": "samples",
    "numsteps": "num_inference_steps",
    "positiveprompt": "prompt",
    "promptstrength": "strength",
    "sampler": "scheduler",
    "samplername": "scheduler",
    "samplingsteps": "num_inference_steps",
    "seeds": "seed",
    "steps": "num_inference_steps",
}
#: Other names of the column `image`, plain, as shops, feeds and databases call it. Taken where there is no `image`.
IMAGE_ALIASES = frozenset(
    {
        "baseimage", "defaultimage", "featuredimage", "fotourl", "gimagelink", "imagefile", "imagehref", "imagelink",
        "imagelinks", "imagepath", "images", "imagesrc", "imageuri", "imageuris", "imageurl", "imageurls", "img",
        "imglink", "imgsrc", "imgurl", "mainimage", "mainimageurl", "mainpicture", "photo", "photourl", "picture",
        "picturelink", "pictureurl", "primaryimage", "primaryimageurl", "productimage", "productimageurl",
        "productphoto", "productpicture",
    }
)  # fmt: skip
#: Other names of the column `id`, plain. None is taken by itself: which of them is one of a kind is not known.
_ID_ALIASES = frozenset(
    {
        "article", "articleid", "articleno", "articlenumber", "artikel", "artikelnr", "artikelnummer", "artnr",
        "asin", "code", "ean", "gtin", "handle", "item", "itemcode", "itemid", "itemno", "itemnumber", "key", "mpn",
        "productcode", "productid", "productnumber", "productsku", "ref", "reference", "referencia", "sku", "skucode",
        "skuid", "upc", "variantsku",
    }
)  # fmt: skip
#: In shorter names (id, mark, seed) one letter makes another word.
_SHORTEST = 5
#: From this length on, likeness as a whole counts too.
_LONG = 9
_ALIKE = 0.88
_PICTURES = re.compile(r"image|img|photo|picture|file|path|uri|url|src|key", re.IGNORECASE)


@dataclass(frozen=True)
class Header:
    """The meaning of a row's cells, by their position."""

    known: tuple[tuple[int, str], ...] = ()
    """Position and our name of reserved columns and parameters."""
    kept: tuple[tuple[int, str], ...] = ()
    """Position and name of metadata."""
    faults: tuple[tuple[str, str], ...] = ()
    """Column and reason."""
    renamed: frozenset[str] = field(default=frozenset())
    """The columns to rename that exist."""
    image: str = ""
    """The file's own name of the column with the images; empty where there is none."""

    @property
    def names(self) -> frozenset[str]:
        """The names of all that rows of this header can have."""
        return frozenset(name for _, name in (*self.known, *self.kept))

    @property
    def kept_names(self) -> frozenset[str]:
        """Those that are metadata."""
        return frozenset(name for _, name in self.kept)


def is_image_alias(name: str) -> bool:
    """Whether a column's name is one that others use for `image`."""
    return plain(name) in IMAGE_ALIASES


def may_be_id(names: Sequence[str]) -> str:
    """The first column whose name others use for `id`; empty where there is none."""
    return next((name for name in names if plain(name) in _ID_ALIASES), "")


def read_header(
    names: Sequence[str], renames: Mapping[str, str], *, is_report: bool = False, is_export: bool = False
) -> Header:
    """The meaning of column names.

    Args:
        names: as they stand in the file; blank ones have no meaning.
        renames: our name -> the file's column, which matches by its case first, then without.
        is_report: whether to drop the columns that only a report has.
        is_export: whether it is a known program's export, whose names are never misspelt names of ours.
    """
    if len(names) > MAX_COLUMNS:
        return Header(faults=(("", f"there are {len(names):,} columns; at most {MAX_COLUMNS:,} are read"),))
    aliases = _image_aliases(names, renames)
    targets_of, renamed = _targets(names, dict(renames) | ({"image": aliases[0]} if len(aliases) == 1 else {}))
    claimed = {_own_name(target)[1] for targets in targets_of.values() for target in targets}
    known: list[tuple[int, str]] = []
    kept: list[tuple[int, str]] = []
    faults: list[tuple[str, str]] = []
    seen: dict[tuple[bool, str], str] = {}
    own_names = frozenset(_own_name(name)[1] for name in names) | claimed
    for place, name in enumerate(names):
        if not name or (is_report and name in REPORT_ONLY and name not in targets_of):
            continue
        for target in targets_of.get(name, [name]):
            is_known, own = _own_name(target)
            if target is name and own in claimed:
                is_known, own = False, name  # another column was renamed to it
            if (is_known, own) in seen:
                faults.append((name, _twice(name, seen[is_known, own])))
                continue
            seen[is_known, own] = name
            (known if is_known else kept).append((place, own))
            if not is_known and not is_export and target is name and (meant := _meant(name, own_names)):
                faults.append((name, f"is nearly {meant}: rename it, or keep it as metadata under meta.{name}"))
    faults += _ambiguous(aliases)
    image = next((names[place] for place, own in known if own == "image"), "")
    return Header(tuple(known), tuple(kept), tuple(faults), renamed, image)


def _targets(names: Sequence[str], renames: Mapping[str, str]) -> tuple[dict[str, list[str]], frozenset[str]]:
    """The new names of each renamed column, and the columns to rename that exist."""
    targets_of: dict[str, list[str]] = {}
    renamed = set()
    for target, source in renames.items():
        if (column := _matching(source, names)) is not None:
            targets_of.setdefault(column, []).append(target)
            renamed.add(source)
    return targets_of, frozenset(renamed)


def _ambiguous(aliases: Sequence[str]) -> list[tuple[str, str]]:
    if len(aliases) < 2:
        return []
    named = " and ".join(aliases[:5])
    return [("image", f"there is no such column, but {named}; name one: --column 'image={aliases[0]}'")]


def _image_aliases(names: Sequence[str], renames: Mapping[str, str]) -> list[str]:
    """The columns with names that others use for `image`, where none is called `image`."""
    if "image" in renames or "image" in map(str.lower, names):
        return []
    return [name for name in dict.fromkeys(names) if is_image_alias(name)]


def _twice(name: str, other: str) -> str:
    return "is there twice" if name == other else f"is the same column as {other}"


def _matching(source: str, names: Sequence[str]) -> str | None:
    if source in names:
        return source
    return next((name for name in names if name.lower() == source.strip().lower()), None)


def _own_name(name: str) -> tuple[bool, str]:
    """Whether a name is one of ours, and how we write it."""
    if name.lower() in KNOWN:
        return True, name.lower()
    return False, name[len(_META) :] if name.lower().startswith(_META) and len(name) > len(_META) else name


def _meant(name: str, present: frozenset[str]) -> str:
    """The name of ours that an unknown name is probably meant to be; empty where none is, or that one exists."""
    if name.lower().startswith(_META):
        return ""
    meant = near_miss(name)
    return "" if meant in present else meant


def near_miss(name: str) -> str:
    """The name of ours that is most like this one; empty where none is near."""
    typed = plain(name)
    if typed in IMAGE_ALIASES:
        return "image"
    if typed in _ALIASES:
        return _ALIASES[typed]
    for spelt, own in _ALIASES.items():
        if plain(own) == spelt and len(spelt) >= _SHORTEST and spelt[0] == typed[:1] and _one_slip(typed, spelt):
            return own
    long_names = [plain(own) for own in KNOWN if len(plain(own)) >= _LONG]
    close = difflib.get_close_matches(typed[:50], long_names, 1, _ALIKE)
    return _ALIASES[close[0]] if close else ""


def _one_slip(typed: str, meant: str) -> bool:
    """Whether one letter is missing, too many, wrong, or swapped with its neighbour."""
    start = len(posixpath.commonprefix([typed, meant]))
    here, there = typed[start:], meant[start:]
    swapped = here[:2] == there[:2][::-1] and here[2:] == there[2:]
    return swapped or here == there[1:] or here[1:] == there or here[1:] == there[1:]


def missing_image(names: Sequence[str]) -> str:
    """The message about a header without a column for the images."""
    filled = [name for name in names if name]
    if len(filled) > MAX_COLUMNS:
        return "there is no such column"
    likely = next((name for name in filled if _PICTURES.search(name)), None)
    shown = ", ".join(filled[:20]) + (", ..." if len(filled) > 20 else "")
    if likely:
        return f"there is no such column; if {likely} has the images, give --column 'image={likely}'"
    return f"there is no such column among {shown}; name the one that has the images: --column image=NAME"


def missing_column(target: str, source: str, names: Sequence[str]) -> str:
    """The message about a column to rename that does not exist."""
    close = difflib.get_close_matches(source, [name[:100] for name in names], 1)
    hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(name for name in names[:20] if name)}"
    return f"--column {target}={source}: there is no such column; {hint}"
