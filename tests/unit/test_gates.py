"""The gates: which pictures look wrong, which do not, and that each gate can be opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageEnhance, ImageOps

from apps.sandbox import styles
from restyle import images
from restyle.fingerprint import Preparation
from restyle.images import Picture, Prepared
from restyle.job.outputs import quality
from restyle.models import Params
from restyle.outputs import Gates
from tests.support.pictures import encode, photo

Changed = Callable[[Image.Image], Image.Image]


def prepared(image: Image.Image, form: str = "JPEG") -> Prepared:
    """A picture as it is sent."""
    return images.prepare(encode(image, form), Preparation())


def answered(image: Image.Image, form: str = "JPEG") -> Picture:
    """A picture as it comes back."""
    return images.verify(encode(image, form))


def reasons(change: Changed, limits: Gates | None = Gates(), form: str = "JPEG") -> tuple[str, ...]:  # noqa: B008 - frozen
    """What is wrong with a changed photograph."""
    return quality.reasons(prepared(photo(), form), [answered(change(photo()), form)], limits)


def brighter(image: Image.Image) -> Image.Image:
    """The same scene in other light."""
    return ImageEnhance.Brightness(image).enhance(1.15)


def relabelled(image: Image.Image) -> Image.Image:
    """The same picture but for a small spot, as a new label is."""
    copy = image.copy()
    copy.paste((200, 30, 30), (10, 10, 50, 40))
    return copy


def grainy(image: Image.Image) -> Image.Image:
    """The same picture with noise that no eye sees."""
    return ImageChops.add(image, Image.effect_noise(image.size, 6).convert("RGB"), 1, -128)


WRONG: dict[str, tuple[Changed, tuple[str, ...]]] = {
    "black": (lambda image: Image.new("RGB", image.size), ("black",)),
    "nearly black": (
        lambda image: Image.effect_noise(image.size, 4).convert("RGB").point(lambda v: v // 24),
        ("black",),
    ),
    "white": (lambda image: Image.new("RGB", image.size, "white"), ("flat",)),
    "gray noise": (lambda image: Image.effect_noise(image.size, 6).convert("RGB"), ("flat",)),
    "unchanged": (lambda image: image, ("same",)),
    "unchanged but for noise": (grainy, ("same",)),
    "square": (lambda image: ImageOps.invert(image).resize((400, 400)), ("aspect",)),
    "on its side": (lambda image: ImageOps.invert(image).rotate(90, expand=True), ("aspect",)),
    "a thumbnail": (lambda image: ImageOps.invert(image).reduce(3), ("small",)),
    "black and small": (lambda image: Image.new("RGB", (image.width // 2, 40)), ("black", "aspect", "small")),
}
RIGHT: dict[str, Changed] = {
    "inverted": ImageOps.invert,
    "in other light": brighter,
    "with another label": relabelled,
    "gray": lambda image: ImageOps.grayscale(image).convert("RGB"),
    "larger": lambda image: ImageOps.invert(image).resize((image.width * 2, image.height * 2)),
    "rounded to whole blocks of 64": lambda image: ImageOps.invert(image).resize(
        (image.width // 64 * 64, image.height // 64 * 64)
    ),
    "a dark scene": lambda image: ImageEnhance.Brightness(image).enhance(0.2),
}


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("name", WRONG)
def test_what_looks_wrong_is_told(name: str, form: str) -> None:
    """Each kind of bad answer is seen, by its own reason, in a lossy and in a lossless form."""
    change, expected = WRONG[name]
    assert reasons(change, form=form) == expected
    assert quality.in_words(expected).startswith("looks wrong: ")


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_fine_passes(name: str) -> None:
    """Real changes pass, slight ones too, and sizes that a model rounds to."""
    assert reasons(RIGHT[name]) == ()


@pytest.mark.parametrize("name", WRONG)
def test_open_gates(name: str) -> None:
    """Without gates, or with each at 0, everything passes."""
    assert reasons(WRONG[name][0], None) == ()
    assert reasons(WRONG[name][0], Gates(black=0, flat=0, same=0, aspect=0, small=0)) in {(), ("black",)}


def test_a_plain_input_may_stay_plain() -> None:
    """Of a swatch of one colour a plain output tells nothing; its size still does."""
    swatch = prepared(Image.new("RGB", (200, 200), "teal"))
    assert quality.reasons(swatch, [answered(Image.new("RGB", (200, 200), "teal"))], Gates()) == ()
    assert quality.reasons(swatch, [answered(Image.new("RGB", (200, 100), "teal"))], Gates()) == ("aspect",)


@pytest.mark.parametrize(("colour", "answer"), [("white", ("black",)), ((150, 90, 60), ("black",)), ((8, 8, 8), ())])
def test_a_black_answer_for_a_plain_input(colour: Any, answer: tuple[str, ...]) -> None:
    """It is what a safety filter sends, unless the input was as dark."""
    swatch = prepared(Image.new("RGB", (200, 200), colour))
    assert quality.reasons(swatch, [answered(Image.new("RGB", (200, 200)))], Gates()) == answer


def test_one_bad_sample_tells_of_the_job() -> None:
    """A job is judged by the worst of its samples."""
    good, bad = answered(ImageOps.invert(photo())), answered(Image.new("RGB", photo().size))
    assert quality.reasons(prepared(photo()), [good, bad, good], Gates()) == ("black",)


@pytest.mark.parametrize("strength", [0.1, 0.65])
def test_the_sandbox_makes_good_pictures(strength: float) -> None:
    """What the sandbox makes of a photograph, at the weakest strength too, looks right in every style."""
    sent = prepared(photo())
    for words, _ in styles.STYLES:
        (made,) = styles.restyle(sent.data, Params(prompt=words[0], strength=strength), seed=1)
        assert quality.reasons(sent, [images.verify(made)], Gates()) == (), words[0]


def test_a_dark_input_may_have_a_black_answer() -> None:
    """One that shows something; the level itself is black still, and the next is flat."""
    dark = Image.new("RGB", (96, 72))
    dark.paste((24, 24, 24), (48, 0, 96, 72))
    for level, expected in ((0, ("black",)), (12, ("black",)), (13, ("flat",))):
        answer = answered(Image.new("RGB", (96, 72), (level, level, level)), "PNG")
        assert quality.reasons(prepared(dark, "PNG"), [answer], Gates()) == expected


def test_what_was_not_looked_at_looks_like_nothing() -> None:
    """Neither input nor answer; sizes count all the same."""
    black, before = answered(Image.new("RGB", (96, 72)), "PNG"), prepared(photo().resize((96, 72)), "PNG")
    assert quality.reasons(replace(before, glance=None), [black], Gates()) == ()
    assert quality.reasons(before, [replace(black, glance=None)], Gates()) == ()
    assert quality.reasons(before, [replace(black, glance=None, width=48, height=36)], Gates()) == ("small",)
