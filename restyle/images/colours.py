"""Colours of pictures: sRGB by the embedded ICC profile, and the background that alpha is laid on."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from itertools import product

from PIL import Image, ImageChops, ImageColor

from restyle.errors import ConfigurationError

#: What a broken ICC profile, or one for another kind of picture, raises.
_PROFILE_ERRORS = (OSError, KeyError, TypeError, ValueError)
#: The pixels that a profile's colour space is for.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
#: Most levels, of 255, by which a profile may change a colour and still count as sRGB.
_TOLERANCE = 2


def background(name: str) -> tuple[int, int, int]:
    """A colour by its name or #rrggbb.

    Raises:
        ConfigurationError: there is no such colour.
    """
    try:
        red, green, blue, *_ = ImageColor.getrgb(name)
        if not all(0 <= level <= 255 for level in (red, green, blue)):
            raise ValueError(name)
    except ValueError as error:
        raise ConfigurationError(
            f"the background {name!r} is no colour; use a name such as white, or #rrggbb"
        ) from error
    return red, green, blue


@lru_cache(maxsize=64)
def is_srgb(profile: bytes | None) -> bool:
    """Whether a profile leaves colours as they are, by converting some: its name proves nothing."""
    if not profile:
        return True
    # Imported with the first profile: it takes 1 MB of each worker, and many catalogs have no profiles. Outside the
    # `try`, since an error of the import says nothing about the profile.
    from PIL import ImageCms  # noqa: F401 - used by the functions below

    levels = range(0, 256, 51)
    cube = bytes(channel for colour in product(levels, repeat=3) for channel in colour)
    probe = Image.frombytes("RGB", (len(levels) ** 2, len(levels)), cube)
    try:
        moved = ImageChops.difference(probe, _convert(probe, profile))
    except _PROFILE_ERRORS:
        return False
    return max(moved.tobytes()) <= _TOLERANCE


def to_srgb(picture: Image.Image, profile: bytes | None, steps: list[str]) -> Image.Image:
    """RGB from L, RGB or CMYK, by the profile where it can be used; adds what was done to `steps`."""
    if profile and not is_srgb(profile):
        try:
            picture = _convert(picture, profile)
            steps.append("srgb")
        except _PROFILE_ERRORS:
            steps.append("profile ignored")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def lab_to_rgb(picture: Image.Image) -> Image.Image:
    """Lab, as TIFF stores it, as sRGB."""
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(picture, lab, srgb, outputMode="RGB")
    assert converted is not None  # None is for a conversion in place
    return converted


def _convert(picture: Image.Image, profile: bytes) -> Image.Image:
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        mode = _MODES[source.profile.xcolor_space.strip()]
        if (picture.mode, mode) == ("L", "RGB"):
            picture = picture.convert("RGB")
        if picture.mode != mode:
            raise ValueError(f"a profile for {mode} in a picture of {picture.mode}")
        converted = ImageCms.profileToProfile(
            picture,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except ImageCms.PyCMSError as error:
        raise ValueError(str(error)) from error
    assert converted is not None  # None is for a conversion in place
    return converted
