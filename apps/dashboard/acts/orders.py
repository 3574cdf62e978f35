"""A form of the dashboard becomes a plan's request: its fields say what options of `restyle run` and `try` say."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Mapping
from pathlib import Path

from apps.dashboard.access.security import Upload
from apps.session import Session
from producers.manifest import ReadOptions
from producers.manifest.encoding import lines_of
from producers.planning.request import PlanRequest, TrialRequest
from restyle.errors import ConfigurationError
from restyle.run_ids import check_run_name

#: The fields, in the order of the page; all of them go along to the page that asks for the yes.
FIELDS = (
    "manifest", "prompts", "variants", "sets", "columns", "images", "limit", "sample", "then_ask", "budget",
    "past_budget", "skip_invalid", "name", "kind", "axes", "entries", "seeds",
)  # fmt: skip
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}(\.gz)?$")
#: A number of credits; 12,50 is none, which would else be taken for a hundred times as much.
_AMOUNT = re.compile(r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9]+)?(?:\.[0-9]+)?")


def keep(uploads: Mapping[str, Upload], fields: dict[str, str], here: Session) -> None:
    """Puts files that were chosen into the workspace, by content, and their places into the fields.

    Raises:
        StoreUnavailable, StoreAccessDenied: S3 does not take them.
    """
    for field, upload in uploads.items():
        if field not in {"manifest", "variants"}:
            continue
        suffix = _SUFFIX.search(posixpath.basename(upload.name))
        uri = here.workspace.input(hashlib.sha256(upload.data).hexdigest(), suffix.group().lower() if suffix else "")
        here.store.put(uri, upload.data, content_type="application/octet-stream")
        fields[field] = uri
        if field == "manifest" and not fields.get("name", "").strip():
            fields["name"] = name_of(upload.name)


def name_of(file: str) -> str:
    """What a run of a file is called where nobody says; empty where its name cannot be one."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", posixpath.splitext(posixpath.basename(file))[0]).strip("-.")[:60]
    try:
        return check_run_name(name)
    except ValueError:
        return ""


def request_of(fields: Mapping[str, str], *, folder: Path | None) -> PlanRequest:
    """What is asked to be planned.

    Args:
        fields: of the form.
        folder: below which files of this machine may be named; None where none may.

    Raises:
        ConfigurationError: something in it is wrong.
    """
    given = {name: fields.get(name, "").strip() for name in FIELDS}
    prompts = _lines(given["prompts"])
    is_trial = given["kind"] == "try"
    _check(given, prompts, is_trial=is_trial)
    budget = amount(given["budget"])
    trial = TrialRequest(
        tuple(prompts), _place(given["variants"], folder), tuple(_lines(given["axes"])),
        _whole("pictures", given["entries"]), _whole("seeds", given["seeds"]) or 1,
    )  # fmt: skip
    sample = _whole("sample", given["sample"])
    if given["then_ask"] and not sample:
        raise ConfigurationError("to be asked after a sample, say how many jobs it has")
    return PlanRequest(
        _place(given["manifest"], folder, needed=True),
        variants=None if is_trial else _place(given["variants"], folder) or None,
        prompt=prompts[0] if prompts and not is_trial else None,
        sets=tuple(_lines(given["sets"])),
        columns=_pairs("columns", given["columns"]),
        read=ReadOptions(images=_place(given["images"], folder)),
        limit=None if is_trial else _whole("limit", given["limit"]),
        sample=None if is_trial else sample,
        then_ask=bool(given["then_ask"]) and not is_trial,
        skip_invalid=bool(given["skip_invalid"]),
        budget=budget,
        name=given["name"],
        priority="high" if is_trial else "normal",
        trial=trial if is_trial else None,
    )


def _check(given: Mapping[str, str], prompts: list[str], *, is_trial: bool) -> None:
    """Raises ConfigurationError where the fields do not go together."""
    if not is_trial and len(prompts) > 1:
        raise ConfigurationError("a run takes one prompt: to compare several, plan a trial; to make all of them, name a"
                                 " variants file")  # fmt: skip
    if is_trial and prompts and given["variants"]:
        raise ConfigurationError("give the prompts of a trial by lines, or by a variants file, not both")
    try:
        check_run_name(given["name"])
    except ValueError as reason:
        raise ConfigurationError(f"name: {reason}") from None


def _place(text: str, folder: Path | None, *, needed: bool = False) -> str:
    """Where a file lies: in S3, on the web, or below the folder that the dashboard was started in.

    Raises:
        ConfigurationError: it lies elsewhere, or nothing was given.
    """
    if not text:
        if needed:
            raise ConfigurationError("name the manifest: an s3:// file or prefix, or choose a file")
        return ""
    if text[:5].lower() == "s3://":
        return f"s3{text[2:]}"
    if text.startswith("https://") or (folder is not None and _is_below(folder, text)):
        return text
    raise ConfigurationError(f"{text[:200]}: is no s3:// address; files of this machine are chosen, not named")


def _is_below(folder: Path, text: str) -> bool:
    """Whether something lies there, in the folder or below it."""
    try:
        path = (folder / text).resolve()
        return path.is_relative_to(folder.resolve()) and path.exists()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, links that lead to themselves
        return False


def _lines(text: str) -> list[str]:
    return [line.strip() for line in lines_of(text) if line.strip()]


def _pairs(what: str, text: str) -> dict[str, str]:
    pairs = {}
    for line in _lines(text):
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise ConfigurationError(f"{what}: {line[:100]}: write it as name=value")
        pairs[name.strip()] = value.strip()
    return pairs


def _whole(what: str, text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,10}", text) or not 1 <= int(text) <= 10**9:
        raise ConfigurationError(f"{what}: {text[:40]}: it is a number from 1 on")
    return int(text)


def amount(text: str) -> float | None:
    """A number of credits; None where nothing is given.

    Raises:
        ConfigurationError: it is none.
    """
    text = text.strip()
    if not text:
        return None
    credits = float(text.replace(",", "")) if len(text) < 40 and _AMOUNT.fullmatch(text) else 0.0
    if credits <= 0:
        hint = "; a comma parts thousands, as in 1,000: write 12.50 with a point" if "," in text else ""
        raise ConfigurationError(f"budget: {text[:40]}: it is a number of credits above 0{hint}")
    return credits
