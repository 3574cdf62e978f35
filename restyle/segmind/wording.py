"""Whose fault a refusal is, by its words: the account's, the headers', or this one request's. Pure.

A job may fail alone only where the words name one of its own parameters or its picture, say what is wrong with it, and
say nothing of money, plan, account, the account's limits or headers. Anything else is unclear, and the caller then
stops the whole fleet. The words are in restyle/segmind/vocabulary.toml: English, and some of other languages.
"""

from __future__ import annotations

import functools
import re
import tomllib
import unicodedata
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

#: Words that would mislead: "image generation" is what the API does, not a picture of ours; image/jpeg is a content
#: type; and "insufficient resolution" is not an insufficient balance.
_NOT_OURS = re.compile(
    r"(?<!\w)(?:image|photo|picture|img)s? ?(?:generations?|service|api|endpoint|models?|to|2 ?img)(?: images?)?(?!\w)"
    r"|img2img|(?:image|application|text|multipart)/[\w.+-]+|went wrong"
    r"|insufficient (?=(?:image )?(?:resolution|quality|size|contrast|detail))"
)
#: Words by which a limit is a parameter's (it has a bound), not the account's.
_BOUND = re.compile(
    r"[<>]=?|must be|less|greater|at (?:most|least)|between|maximum|minimum|\bm(?:ax|in)\b|range|characters|\btokens?\b"
    r"|pixels|\b\d+ ?(?:x|px|[kmg]b)\b|\bsize\b|length|resolution|limit (?:of|is)? ?\d|hors|fuera|ausserhalb|zwischen"
    r"|exceeds? (?:the |its )?(?:\w+ )?limit|超出|超过"
)
_AMOUNT = re.compile(r"[$€£¥] ?\d")
#: Words by which a 429 is about the rate, whatever it says of money beside that: waiting helps.
_RATE = re.compile(
    r"rate[ -]?limit|\bper (?:second|minute|hour|day)|/ ?(?:s|sec|min|minute|hour)\b|concurren|retry|try again"
    r"|slow down|\bwait\b|capacity|busy|load"
)
#: Words that stand among those of money and may be about anything else that is short, such as machines.
_SHORT = re.compile(r"insufficient|not enough|run out|\bcosts?\b|\bprices?\b|\bpricing\b")


@dataclass(frozen=True)
class Blame:
    """Whose fault it is ("": not clear); of the account also which cause, and the period of a limit."""

    whose: Literal["account", "header", "job", ""]
    cause: str = ""
    period: str = ""


@dataclass(frozen=True)
class Vocabulary:
    """The lists as patterns."""

    causes: dict[str, re.Pattern[str]]
    periods: dict[str, re.Pattern[str]]
    header: re.Pattern[str]
    parameter: re.Pattern[str]
    picture: re.Pattern[str]
    defect: re.Pattern[str]
    bare_limit: re.Pattern[str]

    def names_own(self, text: str) -> bool:
        """Whether a text names what a request has of its own."""
        return bool(self.parameter.search(text) or self.picture.search(text))


def plain(text: str) -> str:
    """A text in the form of the vocabulary: lower case, without accents, `camelCase` and `snake_case` as words."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    text = unicodedata.normalize("NFKD", text.casefold())
    text = "".join(char for char in text if not unicodedata.combining(char))
    return " ".join(unicodedata.normalize("NFC", re.sub(r"[_\-]+", " ", text)).split())


def _pattern(lists: dict[str, list[str]]) -> re.Pattern[str]:
    words = [re.escape(plain(word)).replace(r"\*", r"\w*") for word in lists.get("words", [])]
    pieces = [re.escape(plain(piece)) for piece in lists.get("pieces", [])]
    return re.compile("|".join([rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", *pieces]))


@functools.cache
def vocabulary() -> Vocabulary:
    """The lists, read at the first refusal: most processes never meet one."""
    tables: dict[str, Any] = tomllib.loads(
        (resources.files("restyle.segmind") / "vocabulary.toml").read_text(encoding="utf-8")
    )
    groups = {name: {key: _pattern(lists) for key, lists in tables.pop(name).items()} for name in ("causes", "periods")}
    return Vocabulary(**groups, **{name: _pattern(lists) for name, lists in tables.items()})  # type: ignore[arg-type] # by name


def blame(text: str, fields: str = "") -> Blame:
    """Whose fault a refusal is.

    Args:
        text: the refusal's message.
        fields: the names of the request's fields at fault, where the refusal gives them by themselves.
    """
    words, named, known = plain(text), plain(fields), vocabulary()
    judged = _NOT_OURS.sub(" ", words)
    if known.header.search(judged) or known.header.search(named):
        return Blame("header", "header")
    if cause := _cause(judged, known):
        return Blame("account", cause, _period(words, known) if "limit" in cause else "")
    limit, is_own = known.bare_limit.search(judged), known.names_own(judged)
    if limit and not _BOUND.search(judged):
        return Blame("account", "limit", _period(words, known)) if is_own else Blame("")
    if known.parameter.search(named) or known.picture.search(named):
        return Blame("job")
    return Blame("job") if is_own and (limit or known.defect.search(judged)) else Blame("")


def is_of_money(text: str) -> bool:
    """Whether a 429 says that the account is empty, so that waiting does not help."""
    words, causes = plain(text), vocabulary().causes
    nouns = _SHORT.sub(" ", words)
    return not _RATE.search(words) and bool(causes["balance"].search(nouns) or causes["payment"].search(nouns))


def _cause(words: str, known: Vocabulary) -> str:
    """Which of the account's causes a text names, a limit before all others; empty where it names none."""
    positions = {name: match.start() for name, pattern in known.causes.items() if (match := pattern.search(words))}
    if amount := _AMOUNT.search(words):
        positions.setdefault("balance", amount.start())
    limit = known.bare_limit.search(words)
    if "team" in positions and ("limit" in positions or limit):
        return "team_limit"
    if "limit" in positions or (positions and limit and "plan" not in positions):
        return "limit"
    cause = min(positions, key=lambda name: positions[name], default="")
    return "account" if cause == "team" else cause


def _period(words: str, known: Vocabulary) -> str:
    return next((name for name, pattern in known.periods.items() if pattern.search(words)), "")
