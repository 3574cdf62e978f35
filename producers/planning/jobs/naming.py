"""Where outputs go: by the row, by the naming template, or to `<id>/<variant>`; and which places are none. Pure."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import cached_property

from producers.manifest import Entry
from producers.planning.jobs import prompts
from restyle.errors import ConfigurationError
from restyle.job.outputs.locations import LONGEST_PART, SUFFIXES
from restyle.keys import Workspace, escape, split_uri
from restyle.outputs import CONTENT_TYPES, Form

#: What a naming template may use.
FIELDS = ("id", "variant", "sample", "stem", "run_id")
#: Bytes of an output's key: S3 takes 1,024, samples add two, and one that makes way for another's 17 (ownership.py).
_LONGEST_KEY = 1000
#: Names of buckets, those of old ones too.
_BUCKET = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,253}[A-Za-z0-9])?")
#: Keys without what a terminal obeys or shows in another order.
_PLAIN = re.compile("[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")
#: Folders of the workspace that are ours to write.
OWN_FOLDERS = ("records", "results", "inputs", "replaced", "runs", "sandbox", "suspect", "fleets", "trials")
_ANY_SUFFIX = tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)


def parse(text: str, form: Form) -> prompts.Template:
    """A naming template, its suffix taken off.

    Raises:
        ConfigurationError: it cannot name outputs of this form.
    """
    stem, suffix = posixpath.splitext(text)
    if suffix.lower() in _ANY_SUFFIX:
        if suffix.lower() not in SUFFIXES[CONTENT_TYPES[form]]:
            raise ConfigurationError(f"--naming {text}: ends in {suffix}, and outputs are {form}; leave it away")
        text = stem
    try:
        template = prompts.parse(text)
    except ValueError as reason:
        raise ConfigurationError(f"--naming {text}: {reason}") from None
    if unknown := [name for name in template.names if name not in FIELDS]:
        known = ", ".join(f"{{{name}}}" for name in FIELDS)
        raise ConfigurationError(f"--naming {text}: there is no {{{unknown[0]}}}; it takes {known}")
    if not {"id", "stem"} & set(template.names):
        raise ConfigurationError(f"--naming {text}: every picture would have the same name; use {{id}} or {{stem}}")
    return template


@dataclass(frozen=True)
class Naming:
    """How the outputs of a plan are named."""

    workspace: Workspace
    prefix: str = ""
    """`--output`: an s3:// prefix; empty is the workspace's own."""
    template: str = ""
    """Empty: `{id}/{variant}`."""
    form: Form = "jpg"
    run_id: str = ""
    sandbox: bool = False
    is_trial: bool = False
    """Whether they lie aside, whatever rows, prefix and template say."""

    @property
    def root(self) -> str:
        """The prefix below which names lie, where no row says otherwise."""
        if self.is_trial:
            return self.workspace.under("trials")
        return self._own(f"{self._base}/").rstrip("/")

    @cached_property
    def suffix(self) -> str:
        """What outputs end in."""
        return SUFFIXES[CONTENT_TYPES[self.form]][0]

    def outputs(self, entry: Entry, variant: str, samples: int) -> tuple[str, tuple[str, ...]]:
        """The URI of the (first) output; and those of each sample where the template tells them apart.

        The sandbox never writes outside its own folder.

        Raises:
            ValueError: no picture may go there; the message is the reason.
        """
        if self.is_trial:
            return self.workspace.under("trials", escape(entry.id), f"{variant}{self.suffix}"), ()
        if self.is_plain and not entry.output:
            before, after = self.around(variant)
            return f"{before}{escape(entry.id)}{after}", ()
        each: list[str] = []
        if entry.output:
            output = self._given(entry.output, variant)
        elif self._template is None:
            output = f"{self._base}/{escape(entry.id)}/{variant}{self.suffix}"
        else:
            each = [self._named(self._template, entry, variant, sample) for sample in range(samples)]
            output = each[0]
            if samples == 1 or "sample" not in self._template.names:
                each = []
        if entry.output or self.prefix or self.template:
            for uri in each or [output]:
                if reason := self._wrong(uri):
                    raise ValueError(f"{entry.output or uri}: {reason}")
        return self._own(output), tuple(self._own(uri) for uri in each)

    @cached_property
    def is_plain(self) -> bool:
        """Whether outputs lie in the workspace by id and variant, where no row says otherwise."""
        return not (self.prefix or self.template or self.is_trial)

    def around(self, variant: str) -> tuple[str, str]:
        """What stands before and after an id in a plain output's URI."""
        return f"{self._base}/", f"/{variant}{self.suffix}"

    @cached_property
    def _base(self) -> str:
        return self.prefix.rstrip("/") or self.workspace.under("outputs")

    def _given(self, output: str, variant: str) -> str:
        uri = output if output.startswith("s3://") else f"{self._base}/{output}"
        return f"{uri}{variant}{self.suffix}" if uri.endswith("/") else uri

    def _named(self, template: prompts.Template, entry: Entry, variant: str, sample: int) -> str:
        stem = posixpath.splitext(posixpath.basename(entry.image))[0]
        values = {"id": escape(entry.id), "variant": variant, "stem": escape(stem), "run_id": self.run_id}
        return f"{self._base}/{template.render(values | {'sample': str(sample)})}{self.suffix}"

    @cached_property
    def _template(self) -> prompts.Template | None:
        return parse(self.template, self.form) if self.template else None

    def _own(self, uri: str) -> str:
        if self.sandbox and not uri.startswith(self.workspace.uri + "/"):
            return self.workspace.under("elsewhere", *split_uri(uri))
        return uri

    def _wrong(self, uri: str) -> str:
        if "://" in uri.removeprefix("s3://") or not uri.lower().endswith(SUFFIXES[CONTENT_TYPES[self.form]]):
            why = "as the API sends JPEG" if self.form == "jpg" else f"as outputs are {self.form}"
            return f"must be an s3:// URI or a key, and end in {self.suffix}, {why}"
        try:
            bucket, key = split_uri(uri)
        except ValueError as error:
            return str(error)
        if not _BUCKET.fullmatch(bucket) or ".." in bucket:
            return "names no bucket that S3 can have"
        if any(part in {"", ".", ".."} for part in key.split("/")) or not _PLAIN.fullmatch(key):
            return "has an empty, `.` or `..` part, or a control character"
        if len(key.encode()) > _LONGEST_KEY or any(len(part.encode()) > LONGEST_PART for part in key.split("/")):
            return f"is longer than S3 stores: {_LONGEST_KEY:,} bytes, and {LONGEST_PART} between two slashes"
        root = self.workspace.uri + "/"
        if uri.startswith(root) and uri.removeprefix(root).partition("/")[0] in OWN_FOLDERS:
            return "lies in a folder that restyle keeps for itself"
        return ""
