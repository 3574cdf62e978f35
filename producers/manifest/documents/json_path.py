"""Paths into JSON, as `--items` and `--column` take them: `products.items`, `media[0].src`, `media[*].src`.

Used by document.py and json_items.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from producers.manifest.place import names_a_picture

#: A key, a number in a list, or None: each element of a list.
Step = str | int | None
Path = tuple[Step, ...]
_STEP = re.compile(r"""\[(?:(?P<number>\d{1,9})|(?P<each>\*)|"(?P<quoted>[^"]+)")\]|\.?(?P<key>[^.\[\]"]+)""")
_DEEPEST = 5
_MOST_KEYS = 20


class _Missing:
    """The type of MISSING."""


MISSING = _Missing()


def parse(text: str) -> Path:
    """Parses a path.

    Raises:
        ValueError: it is no path; the message is the reason.
    """
    steps: list[Step] = []
    at = 2 if text.startswith("$.") else 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise ValueError(f"{text}: is no path; write it like products.items or media[0].src")
        if match["number"]:
            steps.append(int(match["number"]))
        else:
            steps.append(None if match["each"] else match["quoted"] or match["key"])
        at = match.end()
    if not steps:
        raise ValueError("is an empty path; write it like products.items or media[0].src")
    return tuple(steps)


def shown(path: Path) -> str:
    """A path as it is written."""
    text = ""
    for step in path:
        if isinstance(step, str):
            text += f'["{step}"]' if re.search(r'[.\[\]"]', step) else f".{step}"
        else:
            text += "[*]" if step is None else f"[{step}]"
    return text.removeprefix(".")


def value_at(value: Any, path: Sequence[Step]) -> Any:
    """The value at a path; a list where the path has `[*]`; MISSING where there is none."""
    for place, step in enumerate(path):
        if step is None:
            if not isinstance(value, list):
                return MISSING
            values = [value_at(element, path[place + 1 :]) for element in value]
            return [one for one in values if one is not MISSING]
        if isinstance(step, str):
            value = value.get(step, MISSING) if isinstance(value, dict) else MISSING
        else:
            value = value[step] if isinstance(value, list) and step < len(value) else MISSING
        if value is MISSING:
            return MISSING
    return value


def numbers(value: Any, path: Sequence[Step]) -> Iterator[tuple[int, ...]]:
    """The elements that a path with `[*]` matches: for each, its numbers, one for each `[*]`."""
    if None not in path:
        yield ()
        return
    place = list(path).index(None)
    elements = value_at(value, path[:place])
    for number, element in enumerate(elements if isinstance(elements, list) else ()):
        yield from ((number, *rest) for rest in numbers(element, path[place + 1 :]))


def of_element(path: Path, each: Path, chosen: Sequence[int]) -> Path:
    """A path with the numbers of one element in the place of `[*]`, as far as it has the steps of `each`."""
    left = list(chosen)
    steps: list[Step] = []
    for place, step in enumerate(path):
        is_same = path[: place + 1] == each[: place + 1]
        steps.append(left.pop(0) if step is None and is_same and left else step)
    return tuple(steps)


def path_to_picture(value: Any, before: Path = ()) -> Path:
    """The path to the first value that looks like a picture's name; empty where there is none."""
    if isinstance(value, str):
        return before if before and names_a_picture(value.strip()) and "\n" not in value else ()
    if len(before) >= _DEEPEST:
        return ()
    if isinstance(value, list):
        return path_to_picture(value[0], (*before, None)) if value else ()
    if isinstance(value, dict):
        for key in list(value)[:_MOST_KEYS]:
            if path := path_to_picture(value[key], (*before, key)):
                return path
    return ()


def has_picture(value: Any) -> bool:
    """Whether it is an object with a picture's name in it."""
    return isinstance(value, dict) and bool(path_to_picture(value))
