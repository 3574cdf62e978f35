"""Every name under which restyle keeps something, in S3 and in Redis, and the ids that the names are made of."""

from __future__ import annotations

import hashlib
import posixpath
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from restyle.run_ids import schedule_of

#: Bytes of one id segment once escaped, and of a whole id.
MAX_SEGMENT_BYTES = 200
MAX_ID_BYTES = 700

_VARIANT = re.compile(r"[A-Za-z0-9_.]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9_.])?")
_ESCAPED = re.compile(r'[\\:*?"<>|%#]')
_TRAILING = ". "
#: Finds whether there is any of these.
_TO_ESCAPE = re.compile(rf"{_ESCAPED.pattern}|[. ](?:/|$)")
#: Ids that are plainly fine, so that a million of them are checked in no time.
_PLAIN_ID = re.compile(r"(?:[A-Za-z0-9_-]+[./ ])*[A-Za-z0-9_-]+")
#: A line each.
_PLAIN_IDS = re.compile(r"(?:[A-Za-z0-9_-]++[./ \n])*+[A-Za-z0-9_-]++")


def is_plain_id(text: str) -> bool:
    """Whether a text is an id as it stands, which needs no closer look."""
    return len(text) <= MAX_SEGMENT_BYTES and _PLAIN_ID.fullmatch(text) is not None


def are_plain_ids(texts: Sequence[str]) -> bool:
    """The same of many at once, at least one."""
    text = "\n".join(texts)
    if text.count("\n") != len(texts) - 1 or max(map(len, texts)) > MAX_SEGMENT_BYTES:
        return False
    return _PLAIN_IDS.fullmatch(text) is not None


def normalise_id(text: str) -> str:
    """An entry's id as it is compared and stored: NFC, without space around it.

    Raises:
        ValueError: the id cannot become part of a key; the message is the reason.
    """
    text = text.strip()
    if is_plain_id(text):
        return text
    text = unicodedata.normalize("NFC", text)
    if not text:
        raise ValueError("the id is empty")
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in text):
        raise ValueError("the id has a control character")
    for segment in text.split("/"):
        if segment in {"", ".", ".."}:
            raise ValueError(f"the id has a part {segment!r} between slashes, which no key may have")
        if len(escape(segment).encode()) > MAX_SEGMENT_BYTES:
            raise ValueError(f"a part of the id is longer than {MAX_SEGMENT_BYTES} bytes")
    if len(escape(text).encode()) > MAX_ID_BYTES:
        raise ValueError(f"the id is longer than {MAX_ID_BYTES} bytes")
    return text


def check_variant_name(name: str) -> str:
    """The variant's name, unchanged.

    Raises:
        ValueError: the name cannot become part of a key; the message is the reason.
    """
    if not _VARIANT.fullmatch(name) or name in {".", ".."}:
        raise ValueError(f"a variant's name is 1-64 of A-Z a-z 0-9 _ . - and does not begin or end in -: {name!r}")
    if re.search(r"-\d$", name):
        raise ValueError(f"a variant's name may not end in - and a digit, as samples do: {name!r}")
    return name


def escape(text: str) -> str:
    r"""An id as it stands in keys: `\ : * ? " < > | % #` and trailing dots and spaces percent-encoded."""
    if not _TO_ESCAPE.search(text):
        return text

    return "/".join(map(_escape_part, text.split("/")))


def _escape_part(part: str) -> str:
    bare = part.rstrip(_TRAILING)
    return _ESCAPED.sub(lambda match: _percent(match.group()), bare) + _percent(part[len(bare) :])


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an s3:// URI.

    Raises:
        ValueError: not an s3:// URI with a bucket.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise ValueError(f"not an s3:// URI: {uri!r}")
    return bucket, key


def sample_uri(output: str, sample: int, samples: int, suffix: str = "") -> str:
    """The URI of one sample: the output's own, with `-<sample>` before the suffix when there are several."""
    stem, given = posixpath.splitext(output)
    ending = suffix or given
    return f"{stem}{ending}" if samples == 1 else f"{stem}-{sample}{ending}"


def derived_seed(job_id: str, salt: str = "") -> int:
    """The seed of a job whose manifest gives none: the same at every retry and re-run (31 bits)."""
    return int.from_bytes(hashlib.sha256(f"{job_id}:0:{salt}".encode()).digest()[:4]) >> 1


def draw_seed(entry_id: str, draw: int = 1) -> int:
    """The seed that all columns of a trial share for an entry, so that nothing else differs: the same at every try.

    Args:
        entry_id: the entry's.
        draw: which picture of it, from 1 on.
    """
    return derived_seed(f"trial\0{entry_id}", str(draw))


@dataclass(frozen=True)
class Workspace:
    """The s3:// prefix under which one team's records, outputs and runs lie."""

    uri: str

    @cached_property
    def bucket(self) -> str:
        """The workspace's bucket."""
        return split_uri(self.uri)[0]

    @property
    def namespace(self) -> str:
        """What every Redis key and queue of this workspace begins with."""
        return f"restyle:{hashlib.sha256(self.uri.encode()).hexdigest()[:8]}:"

    @property
    def sandbox(self) -> Workspace:
        """The same workspace for sandbox pictures, which are never taken for paid ones."""
        return Workspace(f"{self.uri}/sandbox")

    def job_id(self, entry_id: str, variant: str) -> str:
        """The job's id: the same in every run, whatever the parameters."""
        return hashlib.sha256(f"{self.uri}\0{entry_id}\0{variant}".encode()).hexdigest()[:24]

    def under(self, *parts: str) -> str:
        """A URI below the workspace."""
        return "/".join((self.uri, *parts))

    def record(self, entry_id: str, variant: str) -> str:
        """The record that decides whether a job is done."""
        return self.under("records", escape(entry_id), f"{variant}.json")

    def output(self, entry_id: str, variant: str) -> str:
        """Where a job's picture goes unless the manifest says otherwise."""
        return self.under("outputs", escape(entry_id), f"{variant}.jpg")

    def suspect(self, entry_id: str, variant: str) -> str:
        """Where a job's picture goes that looks wrong, whatever the manifest says."""
        return self.under("suspect", escape(entry_id), f"{variant}.jpg")

    def input(self, sha256: str, suffix: str) -> str:
        """Where a local input is uploaded to, by content; the suffix has its dot."""
        return self.under("inputs", f"{sha256}{suffix}")

    def web_input(self, name: str) -> str:
        """What is known of an address on the web, by its sha256: when it was fetched last, and what came."""
        return self.under("inputs", "web", f"{name}.json")

    def web_pin(self, run_id: str, name: str) -> str:
        """What an address on the web stands for in a run, by its sha256."""
        return self.run(run_id, "web", f"{name}.json")

    def unplaced(self, run_id: str, job_id: str, sample: int | None = None, suffix: str = "") -> str:
        """Where a paid picture waits whose own place S3 refuses; without a sample the note of what it is."""
        name = f"{job_id}.json" if sample is None else f"{job_id}-{sample}{suffix}"
        return self.under("unplaced", run_id, name)

    def replaced(self, sha256: str, suffix: str) -> str:
        """Where an output is copied before it is replaced, by content; the suffix has its dot."""
        return self.under("replaced", sha256[:2], f"{sha256}{suffix}")

    def result(self, key: str) -> str:
        """Which pictures there are of one input and one recipe (restyle/job/results/keys.py)."""
        return self.under("results", key[:2], f"{key}.json")

    def trial(self, run_id: str) -> str:
        """What a trial compares: its columns, and what the whole catalog would cost."""
        return self.run(run_id, "trial.json")

    def run(self, run_id: str, *parts: str) -> str:
        """A URI below a run's folder; without parts its run.json."""
        return self.under("runs", run_id, *(parts or ("run.json",)))

    def shard(self, run_id: str, shard: int) -> str:
        """The jobs of a shard, as planned."""
        return self.run(run_id, "plan", f"{shard:06d}.jsonl.gz")

    def addresses(self, run_id: str, shard: int) -> str:
        """The addresses of a shard's inputs on the web that may have secrets in them, by their sha256."""
        return self.run(run_id, "addresses", f"{shard:06d}.json.gz")

    def results(self, run_id: str, shard: int) -> str:
        """The jobs of a closed shard with their outcomes."""
        return self.run(run_id, "results", f"{shard:06d}.jsonl.gz")

    def unchanged(self, run_id: str, part: int) -> str:
        """Jobs that were known to be done as the run was planned, with their outcomes."""
        return self.run(run_id, "unchanged", f"{part:06d}.jsonl.gz")

    def marks(self, run_id: str, name: str = "") -> str:
        """People's marks of a run's pictures, an object each time; without a name the folder of them."""
        return self.run(run_id, "marks", name)

    def ledger(self, run_id: str, *parts: str) -> str:
        """What a run has opened, and what its shards have cost: the name of an object says all of it."""
        return self.run(run_id, "ledger", *parts)

    def suspension(self, run_id: str | None) -> str:
        """A person's suspension of a run, or with None of the fleet; there as long as it stands."""
        return self.under("suspended.json") if run_id is None else self.run(run_id, "suspended.json")

    def schedule(self, name: str) -> str:
        """How a schedule's last firing ended."""
        return self.under("schedules", f"{name}.json")

    def firing(self, run_id: str) -> str:
        """What a schedule fired, until its run is planned."""
        return self.under("schedules", schedule_of(run_id), f"{run_id}.json")

    def fleet(self, name: str) -> str:
        """What a Redis says of itself: whether it holds the workspace."""
        return self.under("fleets", f"{name}.json")

    def handover(self, name: str) -> str:
        """Somebody's wish that the holder of this name should stop."""
        return self.under("fleets", f"{name}.stop")

    def doubt(self, run_id: str, job_id: str) -> str:
        """The note that a call of this job may have been paid for without an answer."""
        return self.run(run_id, "doubt", f"{job_id}.json")

    def unreadable(self, run_id: str, job_id: str, number: int = 1) -> str:
        """A paid answer of this job that could not be read, the first or another; a note lies beside it, at `.json`."""
        return self.under("unreadable", run_id, job_id if number == 1 else f"{job_id}.{number}")

    def request(self, run_id: str, job_id: str) -> str:
        """The note of the request that the API's queue has accepted for this job."""
        return self.run(run_id, "requests", f"{job_id}.json")


def parse_workspace(uri: str) -> Workspace:
    """A workspace from its setting, `s3://bucket/prefix`.

    Raises:
        ValueError: not an s3:// URI with a bucket.
    """
    bucket, prefix = split_uri(uri)
    return Workspace(f"s3://{bucket}/{prefix}".rstrip("/"))


def account_id(api_url: str, api_key: str) -> str:
    """What stands for an account in Redis, since an account is shared by workspaces; tells nothing of the key."""
    return hashlib.sha256(f"restyle-account\0{api_url}\0{api_key}".encode()).hexdigest()[:8]
