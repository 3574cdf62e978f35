"""The sandbox's styles: real transforms, chosen by words of the prompt; each result repeats for a picture and seed."""

from __future__ import annotations

import hashlib
import io
import math
import random
from collections.abc import Callable

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageOps, UnidentifiedImageError

from restyle.models import Params

Style = Callable[[Image.Image, random.Random], Image.Image]


class NoPicture(Exception):
    """The bytes are no picture."""


def restyle(data: bytes, params: Params, seed: int) -> list[bytes]:
    """The pictures that a call returns, as JPEGs of the input's size.

    Raises:
        NoPicture: the input does not decode.
    """
    try:
        with Image.open(io.BytesIO(data)) as opened:
            source = ImageOps.exif_transpose(opened).convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise NoPicture(f"cannot be decoded ({error})") from None
    style = choose(params.prompt)
    return [_one(source, params, style, seed + sample) for sample in range(params.samples)]


def choose(prompt: str) -> Style:
    """The style that the prompt's words ask for, else one by its hash."""
    text = prompt.lower()
    for words, style in STYLES:
        if any(word in text for word in words):
            return style
    return STYLES[hashlib.sha256(prompt.encode()).digest()[0] % len(STYLES)][1]


def _one(source: Image.Image, params: Params, style: Style, seed: int) -> bytes:
    drawn = style(source, random.Random(f"{seed}:{params.prompt}"))
    # 0.65 is the API's default strength; from there on little of the original remains visible.
    share = min(1.0, 0.25 + params.strength * 1.15)
    picture = Image.blend(source, drawn, share) if share < 1 else drawn
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90, comment=b"made by the restyle sandbox")
    return out.getvalue()


# -- the styles --------------------------------------------------------------------------------------------


def backdrop(picture: Image.Image) -> Image.Image:
    """A mask of the plain background: white where the picture is like its border."""
    small = picture.resize((160, 160)).filter(ImageFilter.GaussianBlur(1))
    edge = small.resize((1, 1), box=(0, 0, 160, 8)).getpixel((0, 0))
    plain = Image.new("RGB", small.size, edge)
    distance = ImageChops.difference(small, plain).convert("L")
    mask = distance.point([max(0, min(255, round((70 - level) * 5.5))) for level in range(256)])
    return mask.resize(picture.size, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))


def gradient(size: tuple[int, int], top: tuple[int, int, int], bottom: tuple[int, int, int]) -> Image.Image:
    """A vertical blend of two colours."""
    return ImageOps.colorize(Image.linear_gradient("L").resize(size), top, bottom)


def grain(size: tuple[int, int], dice: random.Random, scale: int = 2) -> Image.Image:
    """Paper grain around middle grey, the same for the same dice."""
    width, height = max(1, size[0] // scale), max(1, size[1] // scale)
    noise = Image.frombytes("L", (width, height), dice.randbytes(width * height))
    return noise.resize(size, Image.Resampling.BICUBIC)


def tinted(picture: Image.Image, dark: tuple[int, int, int], light: tuple[int, int, int], share: float) -> Image.Image:
    """The picture drawn towards two colours by its brightness."""
    return Image.blend(picture, ImageOps.colorize(ImageOps.grayscale(picture), dark, light), share)


def lines(picture: Image.Image, strength: float) -> Image.Image:
    """Its contours, dark on white."""
    grey = ImageOps.grayscale(picture).filter(ImageFilter.GaussianBlur(1))
    edges = grey.filter(ImageFilter.FIND_EDGES).filter(ImageFilter.SMOOTH)
    dark = ImageOps.invert(edges.point([min(255, round(level * strength)) for level in range(256)]))
    # The filter takes the frame itself for a contour.
    return ImageOps.expand(ImageOps.crop(dark, 4), 4, fill=255)


def daubed(picture: Image.Image, shrink: int, brush: int) -> Image.Image:
    """The picture as broad touches of a brush."""
    small = picture.resize((max(1, picture.width // shrink), max(1, picture.height // shrink)))
    painted = small.filter(ImageFilter.MedianFilter(3)).filter(ImageFilter.ModeFilter(brush))
    return painted.filter(ImageFilter.GaussianBlur(1)).resize(picture.size, Image.Resampling.BICUBIC)


def watercolor(picture: Image.Image, dice: random.Random) -> Image.Image:
    """Soft washes that run out into paper."""
    wash = daubed(picture, 3, 7)
    wash = ImageEnhance.Brightness(ImageEnhance.Color(wash).enhance(1.7)).enhance(1.06)
    tones = [(216, 232, 240), (243, 226, 212), (226, 238, 218), (238, 222, 236)]
    ground = gradient(picture.size, (252, 250, 244), dice.choice(tones))
    blotches = grain(picture.size, dice, max(24, picture.width // 9)).point([150 + level // 3 for level in range(256)])
    wash.paste(ground, mask=ImageChops.multiply(backdrop(picture), blotches))
    wash = ImageChops.multiply(wash, Image.merge("RGB", [lines(picture, 2.2)] * 3))
    paper = grain(picture.size, dice).point([232 + level // 11 for level in range(256)])
    return ImageChops.multiply(wash, Image.merge("RGB", [paper] * 3))


def sketch(picture: Image.Image, dice: random.Random) -> Image.Image:
    """Pencil on paper: a dodge of the picture by its blurred negative, with hatching in the shadows."""
    grey = ImageOps.grayscale(picture)
    blurred = ImageOps.invert(grey).filter(ImageFilter.GaussianBlur(7))
    drawn = ImageChops.add(grey, blurred, scale=1.0).point([max(0, 255 - (255 - v) * 3) for v in range(256)])
    strokes = ImageChops.multiply(drawn, lines(picture, 3.0))
    hatch = Image.new("L", picture.size, 255)
    pen = ImageDraw.Draw(hatch)
    for x in range(-picture.height, picture.width, 7):
        pen.line((x + dice.randint(-1, 1), picture.height, x + picture.height, 0), fill=150, width=1)
    shade = grey.point([255 if level < 130 else 0 for level in range(256)]).filter(ImageFilter.GaussianBlur(2))
    strokes = Image.composite(ImageChops.multiply(strokes, hatch), strokes, shade)
    return ImageOps.colorize(strokes, (46, 44, 52), (250, 246, 236))


def poster(picture: Image.Image, dice: random.Random) -> Image.Image:
    """Few flat colours on a bold ground."""
    grounds = [(242, 108, 79), (64, 130, 186), (244, 190, 70), (92, 158, 122), (210, 90, 130)]
    flat = ImageEnhance.Color(ImageOps.autocontrast(daubed(picture, 2, 5), 1)).enhance(1.7)
    flat = flat.quantize(9, Image.Quantize.FASTOCTREE).convert("RGB")
    flat.paste(Image.new("RGB", picture.size, dice.choice(grounds)), mask=backdrop(picture))
    return ImageChops.multiply(flat, Image.merge("RGB", [lines(picture, 3.0)] * 3))


def pop_art(picture: Image.Image, dice: random.Random) -> Image.Image:
    """Two loud colours and halftone dots."""
    pairs = [((28, 20, 92), (255, 214, 40)), ((120, 10, 70), (80, 226, 220)), ((12, 60, 60), (255, 120, 150))]
    dark, light = dice.choice(pairs)
    loud = tinted(ImageOps.autocontrast(picture), dark, light, 0.78)
    dots = Image.new("L", picture.size, 255)
    pen, step = ImageDraw.Draw(dots), max(8, picture.width // 64)
    for row, y in enumerate(range(0, picture.height, step)):
        for x in range((row % 2) * step // 2, picture.width, step):
            pen.ellipse((x, y, x + step * 0.52, y + step * 0.52), fill=188)
    return ImageChops.multiply(loud, Image.merge("RGB", [dots] * 3))


def vintage(picture: Image.Image, dice: random.Random) -> Image.Image:
    """A faded print with a dark rim."""
    faded = tinted(ImageEnhance.Contrast(picture).enhance(0.82), (60, 38, 24), (250, 232, 196), 0.72)
    dust = grain(picture.size, dice, 1).point([236 + level // 14 for level in range(256)])
    return vignette(ImageChops.multiply(faded, Image.merge("RGB", [dust] * 3)), 0.55)


def neon(picture: Image.Image, dice: random.Random) -> Image.Image:
    """Night, with glowing contours."""
    hues = [((255, 60, 170), (40, 220, 255)), ((120, 255, 110), (120, 90, 255)), ((255, 150, 40), (200, 60, 255))]
    first, second = dice.choice(hues)
    night = ImageEnhance.Brightness(tinted(picture, (6, 6, 26), (96, 84, 150), 0.7)).enhance(0.62)
    glow = ImageOps.invert(lines(picture, 13.0))
    light = ImageChops.multiply(gradient(picture.size, first, second), Image.merge("RGB", [glow] * 3))
    halo = light.resize((picture.width // 4, picture.height // 4)).filter(ImageFilter.GaussianBlur(5))
    halo = ImageEnhance.Brightness(halo.resize(picture.size, Image.Resampling.BICUBIC)).enhance(3.0)
    return ImageChops.screen(ImageChops.screen(night, halo), light)


def studio(picture: Image.Image, dice: random.Random) -> Image.Image:
    """A bright set with a coloured sweep behind the product."""
    sweeps = [
        ((255, 246, 238), (240, 206, 180)),
        ((240, 247, 255), (176, 204, 232)),
        ((246, 255, 244), (188, 220, 184)),
    ]
    top, bottom = dice.choice(sweeps)
    crisp = ImageEnhance.Contrast(ImageEnhance.Color(picture).enhance(1.3)).enhance(1.12)
    crisp = crisp.filter(ImageFilter.UnsharpMask(3, 90, 2))
    # The product's own shadow stays: the sweep is multiplied into the background instead of replacing it.
    lit = ImageChops.multiply(ImageOps.autocontrast(crisp, 0.5), gradient(picture.size, top, bottom))
    return vignette(Image.composite(lit, crisp, backdrop(picture)), 0.18)


def winter(picture: Image.Image, dice: random.Random) -> Image.Image:
    """Cold light and snow."""
    cold = ImageEnhance.Brightness(tinted(picture, (18, 38, 84), (236, 246, 255), 0.55)).enhance(1.08)
    snow = Image.new("L", picture.size, 0)
    pen = ImageDraw.Draw(snow)
    for _ in range(220):
        x, y, r = dice.random() * picture.width, dice.random() * picture.height, dice.uniform(0.8, 5.0)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=dice.randint(120, 255))
    return ImageChops.screen(cold, Image.merge("RGB", [snow.filter(ImageFilter.GaussianBlur(1.2))] * 3))


def autumn(picture: Image.Image, dice: random.Random) -> Image.Image:
    """Late sun: warm shadows and a low light from one side."""
    warm = tinted(ImageEnhance.Color(picture).enhance(1.25), (74, 26, 20), (255, 226, 160), 0.5)
    sun = Image.radial_gradient("L").resize((picture.width * 2, picture.height * 2))
    left = dice.choice([0, picture.width])
    sun = ImageOps.invert(sun.crop((left, picture.height // 2, left + picture.width, picture.height * 3 // 2)))
    return vignette(ImageChops.screen(warm, ImageOps.colorize(sun, (0, 0, 0), (196, 96, 20))), 0.4)


def mosaic(picture: Image.Image, dice: random.Random) -> Image.Image:
    """Tiles with joints."""
    step = max(8, picture.width // 56)
    small = picture.resize((math.ceil(picture.width / step), math.ceil(picture.height / step)), Image.Resampling.BOX)
    shade = Image.frombytes("L", small.size, dice.randbytes(small.width * small.height))
    shade = shade.point([215 + level // 7 for level in range(256)])
    small = ImageChops.multiply(ImageEnhance.Color(small).enhance(1.5), Image.merge("RGB", [shade] * 3))
    tiles = small.resize((small.width * step, small.height * step), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(tiles)
    for x in range(0, tiles.width, step):
        pen.line((x, 0, x, tiles.height), fill=(236, 232, 224))
    for y in range(0, tiles.height, step):
        pen.line((0, y, tiles.width, y), fill=(236, 232, 224))
    return tiles.crop((0, 0, *picture.size))


def oil(picture: Image.Image, dice: random.Random) -> Image.Image:
    """Thick paint on a dark, warm canvas."""
    paint = daubed(picture, 3, 9)
    paint = ImageEnhance.Contrast(ImageEnhance.Color(paint).enhance(1.6)).enhance(1.15)
    canvas = gradient(picture.size, dice.choice([(96, 74, 58), (60, 72, 84), (84, 58, 62)]), (34, 28, 26))
    paint = Image.composite(Image.blend(paint, canvas, 0.55), paint, backdrop(picture))
    relief = grain(picture.size, dice, 6).filter(ImageFilter.EMBOSS).point([96 + level // 4 for level in range(256)])
    return vignette(ImageChops.overlay(paint, Image.merge("RGB", [relief] * 3)), 0.3)


def vignette(picture: Image.Image, depth: float) -> Image.Image:
    """Darkens the rim."""
    ring = Image.radial_gradient("L").resize(picture.size)
    shade = ring.point([round(255 * (1 - depth * (level / 255) ** 2.2)) for level in range(256)])
    return ImageChops.multiply(picture, Image.merge("RGB", [shade] * 3))


STYLES: tuple[tuple[tuple[str, ...], Style], ...] = (
    (("watercolor", "watercolour", "aquarelle"), watercolor),
    (("sketch", "pencil", "drawing", "line art"), sketch),
    (("pop art", "comic", "halftone"), pop_art),
    (("poster", "flat design", "screen print"), poster),
    (("vintage", "sepia", "retro", "film"), vintage),
    (("neon", "cyberpunk", "night"), neon),
    (("winter", "snow", "ice", "christmas"), winter),
    (("autumn", "fall", "sunset", "golden hour", "warm"), autumn),
    (("mosaic", "tile", "pixel"), mosaic),
    (("oil", "painting", "impressionist"), oil),
    (("studio", "bright", "clean", "catalog"), studio),
)
