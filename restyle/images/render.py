"""Pixels as they are wanted: at a size, in RGB, upright, on a background; and as a file again."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageChops

from restyle.errors import InvalidImage
from restyle.images import deep_alpha
from restyle.images.colours import lab_to_rgb, to_srgb
from restyle.images.opening import Source, decoding

#: Pixels above which a picture leaves little of the memory that decoding may take (restyle/images/bounds.py).
_HUGE = 48_000_000


def fit(size: tuple[int, int], longest: int, smallest: int) -> tuple[int, int]:
    """The size once its longest side is at most `longest`; 0 is no limit."""
    if not longest or max(size) <= longest:
        return size
    width, height = (max(1, round(side * longest / max(size))) for side in size)
    if min(width, height) < smallest:
        left = f"resized to {width:,} x {height:,} nothing would be left of it"
        raise InvalidImage(f"is {size[0]:,} x {size[1]:,} pixels, too narrow a strip: {left}")
    return width, height


def render(
    source: Source, size: tuple[int, int], colour: tuple[int, int, int], steps: list[str], *, detail: int = 2
) -> Image.Image:
    """The picture in RGB, upright and of this size, alpha laid on the colour; what was done is added to `steps`."""
    picture = sample(source, size[::-1] if source.lies else size, detail)
    alpha = picture.getchannel("A") if picture.mode in {"LA", "RGBA"} else None
    colours = picture.convert(picture.mode.removesuffix("A")) if alpha else picture
    picture = to_srgb(colours, source.profile, steps)
    if source.turn is not None:
        steps.append("rotated")
    if size != source.size:
        steps.append("resized {}x{}->{}x{}".format(*source.size, *size))
    if alpha:
        steps.append("flattened")
        picture = Image.composite(picture, Image.new("RGB", picture.size, colour), alpha)
    if source.turn is not None and source.kind != "TIFF":  # which its reader has turned while loading
        picture = picture.transpose(source.turn)
    return picture


def sample(source: Source, size: tuple[int, int], detail: int) -> Image.Image:
    """The pixels at this size, not yet turned, as L, LA, RGB, RGBA or CMYK."""
    image = source.image
    if image.size != size:
        # A JPEG is decoded at the scale next above twice the size: what the resampling needs, and no more.
        image.draft(None, (detail * size[0], detail * size[1]))
    with decoding(source):
        image.load()
        picture = _resampling_mode(deep_alpha.applied(source) if source.is_deep_png else image)
        if source.kind == "JPEG" and image.mode == "CMYK" and "adobe" not in image.info:
            picture = ImageChops.invert(picture)  # Pillow takes every CMYK JPEG for Adobe's, which store ink inverted
        if picture.size != size:
            # Pillow averages first, to so many times the size, in memory beside the picture's own.
            gap = 2.0 if picture.size[0] * picture.size[1] > _HUGE else 3.0
            picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=gap)
            image.close()  # frees the large pixels before the next thread's turn
        return picture


def _resampling_mode(image: Image.Image) -> Image.Image:
    """The picture in a mode that can be resampled, without loss of colours or alpha."""
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if image.mode == "LAB":
        return lab_to_rgb(image)
    check_depth(image)
    if image.mode in {"CMYK", "LA"} or (image.mode == "L" and not image.has_transparency_data):
        return image
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def check_depth(image: Image.Image) -> None:
    """Checks that a picture's pixels say which value is white.

    Raises:
        InvalidImage: they do not.
    """
    if image.mode in {"I", "F"}:
        raise InvalidImage(
            "has signed or 32-bit pixels and does not say which value is white; save it with 8 or 16 bits"
        )


def encode(picture: Image.Image, *, quality: int, subsampling: int) -> bytes:
    """A JPEG of a picture, without anything else that its source had."""
    picture.info = {}  # else the source's comment would be written again
    file = BytesIO()
    picture.save(file, "JPEG", quality=quality, subsampling=subsampling)
    return file.getvalue()
