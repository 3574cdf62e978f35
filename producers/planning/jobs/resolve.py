"""Entries meet variants: which value wins, what the prompt says, which seed, where the output goes. Pure.

`--set` beats the row beats the variant beats the manifest's `defaults` beats `[defaults]` of restyle.toml beats the
built-in default. Where the manifest is a report, `--variants` beats its columns too. Formats: docs/formats.md.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from producers.manifest import Block, Entry, Problems
from producers.manifest.cells.spoilt import blemish, is_nothing
from producers.manifest.cells.values import is_filled
from producers.planning.jobs import prompts
from producers.planning.jobs.alike import Alike, Known, alike
from producers.planning.jobs.batch import Batch, batch_of
from producers.planning.jobs.naming import Naming
from producers.planning.jobs.resolved import Resolved, too_long
from producers.planning.jobs.variants import DEFAULT, TEMPLATES, Variant, check_params
from restyle.keys import Workspace, check_variant_name, derived_seed, draw_seed
from restyle.models import Params
from restyle.outputs import Form
from restyle.problems import Problem


@dataclass(frozen=True)
class Resolver:
    """Turns entries into jobs."""

    workspace: Workspace
    variants: Sequence[Variant]
    """Empty: an entry's own cells say it all."""
    defaults: Mapping[str, object] = field(default_factory=dict)
    """The manifest's on top of restyle.toml's; checked."""
    sets: Mapping[str, object] = field(default_factory=dict)
    """`--set`; checked."""
    columns: frozenset[str] | None = None
    """The manifest's, where every row has the same."""
    kept: frozenset[str] = frozenset()
    """Those of them that are only kept, and so can be used in templates."""
    is_report: bool = False
    output: str = ""
    """`--output`: an s3:// prefix; empty is the workspace's own."""
    template: str = ""
    """`--naming`; empty: `{id}/{variant}`."""
    form: Form = "jpg"
    sandbox: bool = False
    new_seed: bool = False
    salt: str = ""
    """What other seeds are derived with: the run's id."""

    @cached_property
    def naming(self) -> Naming:
        """How outputs are named."""
        return Naming(
            self.workspace, self.output, self.template, self.form, self.salt, self.sandbox, self.is_trial
        )  # fmt: skip

    @property
    def is_trial(self) -> bool:
        """Whether prompts and parameters are compared (producers/planning/trial/lab.py)."""
        return any(variant.draw for variant in self.variants)

    def jobs(self, entry: Entry, problems: Problems) -> list[Resolved]:
        """The entry's jobs, one a variant; what is wrong goes to the problems, and its job is none."""
        known = self._known.of(entry)
        jobs = [job for one in known if (job := self._as_known(entry, one)) is not None]
        return jobs if jobs and len(jobs) == len(known) else self._in_full(entry, problems)

    def batch(self, block: Block) -> Batch | None:
        """The jobs of plain rows; None where they are to be resolved one by one."""
        return batch_of(block, self._known.of_plain(), self.naming)

    @cached_property
    def _known(self) -> Known:
        return Known()

    def _as_known(self, entry: Entry, known: Alike) -> Resolved | None:
        """An entry's job by what it has in common with others; None where it must be resolved in full."""
        texts = known.texts(entry)
        if texts is None:
            return None
        params, variant = known.params, known.variant
        job_id = self.workspace.job_id(entry.id, variant)
        seed = derived_seed(job_id) if known.is_derived else params.seed
        try:
            output, outputs = self.naming.outputs(entry, variant, params.samples)
        except ValueError:
            return None
        if too_long(entry, (output, *outputs), texts):
            return None
        return Resolved(
            entry, variant, params.with_texts(*texts, seed), output, outputs, job_id,
            known.is_derived or seed == derived_seed(job_id),
        )  # fmt: skip

    def _in_full(self, entry: Entry, problems: Problems) -> list[Resolved]:
        faults = check_params(entry.params)
        if faults:
            for column, reason in faults:
                problems.add(entry.source, entry.line, column, reason)
            return []
        jobs: list[Resolved] = []
        variants = self._variants_of(entry, problems)
        for variant in variants:
            faults = []
            job = self._job(entry, variant, faults)
            for column, reason in faults:
                problems.add(entry.source, entry.line, column, reason)
            if job is not None and not faults:
                self._doubt(job, problems)
                jobs.append(job)
        if jobs and len(jobs) == len(variants) and not self.new_seed:
            made = zip(variants, jobs, strict=True)
            self._known.keep(
                entry, [alike(entry, variant, self._merged(entry, variant), job.params) for variant, job in made]
            )
        return jobs

    def check(self) -> list[Problem]:
        """What is wrong for every row alike: columns that no row has, and no prompt from anywhere."""
        if self.columns is None:
            return []
        sources = [("--set", "", self.sets)] + [(v.source, f"{v.name}.", v.params) for v in self.variants]
        known = self.kept | {"id", "variant"} | (self.columns & {"prompt"})
        problems = [
            Problem(source, 0, place + column, prompts.unknown(name, known))
            for source, place, params in sources
            for column in TEMPLATES
            for name in prompts.parse(str(params.get(column, ""))).names
            if name not in known
        ]
        has_prompt = "prompt" in self.columns or "prompt" in self.sets or "prompt" in self.defaults
        if not has_prompt and not any("prompt" in variant.params for variant in self.variants):
            reason = "there is none: give --prompt TEXT or --variants FILE, or a column prompt in the manifest"
            problems.append(Problem("the plan", 0, "prompt", reason))
        return problems

    def _variants_of(self, entry: Entry, problems: Problems) -> Sequence[Variant]:
        """The variants that the entry asks for; a trial's are tried on every entry."""
        if self.is_trial:
            return self.variants
        if not entry.variant:
            several = [v.name for v in self.variants if "prompt" in v.params and not v.uses_prompt]
            beaten = self.is_report or "prompt" in self.sets
            if "prompt" in entry.params and len(self.variants) > 1 and several and not beaten:
                reason = (
                    f"the row's prompt would take the place of that of {', '.join(several[:5])}, and be paid for each"
                    " time: use {prompt} in the variants, or name one in the column variant"
                )
                problems.add(entry.source, entry.line, "prompt", reason)
                return ()
            return self.variants or (Variant(DEFAULT, {}),)
        for variant in self.variants:
            if variant.name == entry.variant:
                return (variant,)
        if not self.variants:
            try:
                return (Variant(check_variant_name(entry.variant), {}),)
            except ValueError as error:
                problems.add(entry.source, entry.line, "variant", str(error))
                return ()
        names = [variant.name for variant in self.variants]
        close = difflib.get_close_matches(entry.variant, names, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(names[:20])}"
        problems.add(entry.source, entry.line, "variant", f"there is no variant {entry.variant[:64]!r}; {hint}")
        return ()

    def _job(self, entry: Entry, variant: Variant, faults: list[tuple[str, str]]) -> Resolved | None:
        merged = self._merged(entry, variant)
        self._render(entry, variant, merged, faults)
        if faults:
            return None
        job_id = self.workspace.job_id(entry.id, variant.name)
        redo = entry.mark == "redo" and not self._is_changed(entry, merged)
        if variant.draw:
            merged["seed"] = self.sets.get("seed", variant.params.get("seed", draw_seed(entry.id, variant.draw)))
        elif self.new_seed or (redo and "seed" not in self.sets):
            merged["seed"] = derived_seed(job_id, self.salt)
        elif "seed" not in merged:
            merged["seed"] = derived_seed(job_id)
        params = Params.model_validate(merged)
        try:
            output, outputs = self.naming.outputs(entry, variant.name, params.samples)
        except ValueError as error:
            faults.append(("output", str(error)))
            return None
        if reason := too_long(entry, (output, *outputs), [str(merged.get(name, "")) for name in TEMPLATES]):
            faults.append(("prompt", reason))
        return Resolved(entry, variant.name, params, output, outputs, job_id, params.seed == derived_seed(job_id))

    def _doubt(self, job: Resolved, problems: Problems) -> None:
        """Warns of cells that a prompt uses and that say nothing."""
        entry = job.entry
        merged = self._merged(entry, next((one for one in self.variants if one.name == job.variant), _ALONE))
        own = {name: str(entry.params.get(name, "")) for name in TEMPLATES}
        names = _used(merged, own["prompt"])
        cells = {name: entry.meta.get(name, "") for name in names}
        cells |= {name: cell for name, cell in own.items() if merged.get(name) == cell or name in names}
        for name, cell in cells.items():
            if is_nothing(cell):
                why = f"reads {cell.strip()}"
            elif not (why := blemish(cell)):
                continue
            problems.doubt(f"the column {name} {why} in {{cells}}, and a prompt uses it: {{lines}}", entry.line)

    def _merged(self, entry: Entry, variant: Variant) -> dict[str, object]:
        """The parameters by their precedence; prompts are still templates."""
        if self.is_report or variant.draw:
            return {**self.defaults, **entry.params, **variant.params, **self.sets}
        merged = {**self.defaults, **variant.params, **entry.params, **self.sets}
        if variant.uses_prompt and "prompt" not in self.sets:
            merged["prompt"] = variant.params["prompt"]
        return merged

    def _is_changed(self, entry: Entry, rendered: Mapping[str, object]) -> bool:
        """Whether the row, or what beats it, asks for another picture than the one it marks.

        Only a report tells what that one was made from; elsewhere a seed of the row's own, or `--set`, is a change.
        """
        if not self.is_report:
            return bool(self.sets) or "seed" in entry.params
        before = {name: _unescaped(value) if name in TEMPLATES else value for name, value in entry.params.items()}
        built_in = {name: field.default for name, field in Params.model_fields.items()}
        return any(before.get(name, built_in[name]) != value for name, value in rendered.items())

    # -- prompts -------------------------------------------------------------------------------------------

    def _render(self, entry: Entry, variant: Variant, merged: dict[str, object], faults: list[tuple[str, str]]) -> None:
        """Puts the row's cells into its templates."""
        values = entry.meta | {"id": entry.id, "variant": variant.shown or variant.name}
        own = str(entry.params.get("prompt", ""))
        for name in TEMPLATES:
            if name not in merged:
                continue
            template = prompts.parse(str(merged[name]))
            if "prompt" in template.names:
                if str(merged[name]) == own or not own:
                    reason = "uses {prompt}, but the row has none" if not own else "uses {prompt}, which is itself"
                    faults.append((name, reason))
                    continue
                inner = self._rendered(prompts.parse(own), values, entry.not_text, "prompt", faults)
                values = values | {"prompt": inner}
            merged[name] = self._rendered(template, values, entry.not_text, name, faults).strip()
        if not faults and not is_filled(merged.get("prompt")):
            faults.append(("prompt", "there is none: fill the column, or give --prompt or --variants"))

    def _rendered(
        self,
        template: prompts.Template,
        values: Mapping[str, str],
        not_text: Mapping[str, str],
        column: str,
        faults: list[tuple[str, str]],
    ) -> str:
        if spoilt := [name for name in template.names if name in not_text]:
            faults.extend((name, f"{not_text[name]}, and the {column} uses it") for name in spoilt)
            return ""
        if missing := [name for name in template.names if name not in values]:
            for name in missing:
                if name == "prompt":
                    faults.append((column, "uses {prompt}, which is itself"))
                elif name in self.kept:
                    faults.append((name, f"is empty, but the {column} uses it"))
                else:
                    faults.append((column, prompts.unknown(name, {*self.kept, *values, "prompt"})))
            return ""
        return template.render(values)


#: The variant of entries whose own cells say it all.
_ALONE = Variant(DEFAULT, {})


def _used(merged: Mapping[str, object], own: str) -> set[str]:
    """The names that the templates of a job use, those of the row's own prompt too."""
    names = {name for column in TEMPLATES for name in prompts.parse(str(merged.get(column, ""))).names}
    return names | set(prompts.parse(own).names) if "prompt" in names else names


def _unescaped(value: object) -> str:
    """A report's prompt as it was sent."""
    return str(value).replace("{{", "{").replace("}}", "}").strip()
