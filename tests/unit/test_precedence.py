"""Which value wins: `--set`, row, variant, the manifest's defaults, `[defaults]` of restyle.toml, built-in."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from apps.cli.start.planning import show_plan
from config.reading import load_settings
from config.settings import Settings
from producers.planning.jobs.resolved import Resolved
from producers.planning.make import make_plan
from producers.planning.plan import Plan
from producers.planning.request import PlanRequest
from restyle.errors import ConfigurationError, ManifestError
from restyle.keys import Workspace, derived_seed
from restyle.models import Params

WORKSPACE = Workspace("s3://shop/team")
IMAGE = "s3://in/mug.jpg"
OAK, PINE = {"name": "oak", "prompt": "on oak"}, {"name": "pine", "prompt": "on pine"}
BOTH = {"name": "oak", "prompt": "{prompt} on oak"}, {"name": "pine", "prompt": "{prompt} on pine"}
SEED = derived_seed(WORKSPACE.job_id("mug", "default"))


def planned(
    *,
    row: Mapping[str, Any] | None = None,
    variants: Sequence[Mapping[str, Any]] | None = None,
    own: Mapping[str, Any] | None = None,
    toml: Mapping[str, Any] | None = None,
    **request: Any,
) -> Plan:
    """The plan of one entry, with its variants in a file, and the manifest's own parts beside it."""
    entry = {"image": IMAGE, "id": "mug", **(row or {})}
    Path("m.json").write_text(json.dumps({"images": [entry], **(own or {})}))
    if variants is not None:
        Path("v.json").write_text(json.dumps(variants))
        request["variants"] = "v.json"
    return make_plan(
        PlanRequest("m.json", **request), Settings(defaults=dict(toml or {})), workspace=WORKSPACE, store=None
    )


def params(plan: Plan) -> dict[str, Params]:
    """The parameters of each variant's job."""
    return {job.variant: job.params for job in plan.stream() if isinstance(job, Resolved)}


def told(**asked: Any) -> str:
    """Why the entry is not planned."""
    with pytest.raises(ManifestError) as caught:
        planned(**asked)
    return caught.value.message


# -- values ------------------------------------------------------------------------------------------------

#: From the strongest to the weakest: where a value stands, and how it gets there.
LEVELS: list[tuple[str, dict[str, Any]]] = [
    ("--set", {"sets": ["{name}={value}"]}),
    ("row", {"row": {"{name}": "{value}"}}),
    ("variant", {"variants": [{"name": "oak", "{name}": "{value}"}]}),
    ("manifest", {"own": {"defaults": {"{name}": "{value}"}}}),
    ("toml", {"toml": {"{name}": "{value}"}}),
    ("built-in", {}),
]
#: A parameter, its values from the strongest level on, and its built-in value (none for a prompt).
VALUES: list[tuple[str, list[str], Any]] = [
    ("strength", ["0.11", "0.12", "0.13", "0.14", "0.15"], 0.65),
    ("guidance_scale", ["1", "2", "3", "4", "5"], 6.5),
    ("num_inference_steps", ["21", "22", "23", "24", "25"], 30),
    ("seed", ["1", "2", "3", "4", "-1"], derived_seed(WORKSPACE.job_id("mug", "oak"))),
    ("scheduler", ["DDIM", "Euler", "Heun", "LMS", "PNDM"], "UniPC"),
    ("base_model", ["a", "b", "c", "d", "e"], "juggernaut"),
    ("negative_prompt", ["a", "b", "c", "d", "e"], ""),
    ("base64", ["true", "no", "yes", "0", "1"], False),
    ("prompt", ["a", "b", "c", "d", "e"], None),
]


def filled(template: Any, name: str, value: str) -> Any:
    """A level's form with name and value in it."""
    if isinstance(template, dict):
        return {filled(key, name, value): filled(inner, name, value) for key, inner in template.items()}
    if isinstance(template, list):
        return [filled(inner, name, value) for inner in template]
    return template.replace("{name}", name).replace("{value}", value)


@pytest.mark.parametrize("strongest", range(len(LEVELS)), ids=[name for name, _ in LEVELS])
@pytest.mark.parametrize(("name", "values", "built_in"), VALUES, ids=[name for name, _, _ in VALUES])
def test_the_stronger_level_wins(name: str, values: list[str], built_in: object, strongest: int) -> None:
    """With a value at this level and at each one below, this level's is sent; without any, the built-in one."""
    asked: dict[str, Any] = {"variants": [{"name": "oak"}]}
    for (_, form), value in zip(LEVELS[strongest:], values[strongest:], strict=False):
        asked |= filled(form, name, value)
    if strongest == len(LEVELS) - 1 and name == "prompt":
        assert "prompt: there is none" in told(**asked)
        return
    if name != "prompt":
        asked["own"] = {"defaults": {"prompt": "p", **asked.get("own", {}).get("defaults", {})}}
    found = params(planned(**asked))["oak"].model_dump()[name]
    typed = Params.model_validate({"prompt": "p", **({name: values[strongest]} if strongest < len(values) else {})})
    expected = built_in if strongest == len(values) else typed.model_dump()[name]
    assert found == expected


@pytest.mark.parametrize("empty", ["", " ", None])
def test_an_empty_cell_gives_way(empty: str | None) -> None:
    """An empty cell is no value, at each level."""
    none = {"strength": empty}
    plan = planned(row=none, variants=[{**OAK, **none}], own={"defaults": none}, toml={"strength": 0.3})
    assert params(plan)["oak"].strength == 0.3


# -- prompts and variants ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "prompts"),
    [
        ({"prompt": "photo of {title}", "row": {"title": "a mug"}}, {"default": "photo of a mug"}),
        ({"prompt": "of {id}/{variant}"}, {"default": "of mug/default"}),
        ({"prompt": "x", "row": {"prompt": "own"}}, {"default": "own"}),
        ({"prompt": "{prompt}, x", "row": {"prompt": "own {title}", "title": "T"}}, {"default": "own T, x"}),
        ({"prompt": "{prompt}, x", "row": {"prompt": "own"}, "sets": ["prompt=set"]}, {"default": "set"}),
        ({"row": {"prompt": "own"}, "sets": ["prompt={prompt} set"]}, {"default": "own set"}),
        ({"row": {"prompt": "own"}}, {"default": "own"}),
        ({"row": {"prompt": "own", "variant": "night"}}, {"night": "own"}),
        ({"variants": [OAK, PINE]}, {"oak": "on oak", "pine": "on pine"}),
        ({"variants": [OAK, PINE], "row": {"variant": "pine"}}, {"pine": "on pine"}),
        ({"variants": [OAK, PINE], "row": {"variant": "pine", "prompt": "own"}}, {"pine": "own"}),
        ({"variants": BOTH, "row": {"prompt": "mug"}}, {"oak": "mug on oak", "pine": "mug on pine"}),
        ({"variants": BOTH, "row": {"variant": "oak", "prompt": "mug"}}, {"oak": "mug on oak"}),
        ({"variants": [{"name": "a", "strength": 0.2}, {"name": "b"}], "row": {"prompt": "p"}}, {"a": "p", "b": "p"}),
        ({"variants": [OAK], "row": {"prompt": "own"}}, {"oak": "own"}),
        ({"variants": [OAK, PINE], "sets": ["prompt=set"]}, {"oak": "set", "pine": "set"}),
        ({"variants": [OAK, PINE], "row": {"prompt": "own"}, "sets": ["prompt=set"]}, {"oak": "set", "pine": "set"}),
        ({"own": {"variants": [OAK, PINE]}}, {"oak": "on oak", "pine": "on pine"}),
        ({"own": {"variants": [OAK, PINE]}, "variants": [{"name": "x", "prompt": "p"}]}, {"x": "p"}),
        ({"own": {"variants": [OAK, PINE]}, "prompt": "p"}, {"default": "p"}),
        ({"prompt": "a {{b}} {title}", "row": {"title": "{c}"}}, {"default": "a {b} {c}"}),
        ({"own": {"defaults": {"prompt": "d {title}"}}, "row": {"title": "T"}}, {"default": "d T"}),
    ],
)  # fmt: skip
def test_prompts(asked: dict[str, Any], prompts: dict[str, str]) -> None:
    """Which variants an entry has, and what each one's prompt says."""
    assert {name: found.prompt for name, found in params(planned(**asked)).items()} == prompts


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"variants": [OAK, PINE], "row": {"prompt": "own"}}, "prompt: the row's prompt would take the place of that"),
        ({"variants": [OAK, BOTH[1]], "row": {"prompt": "own"}}, "would take the place of that of oak, and be paid"),
        ({"variants": [OAK], "row": {"variant": "oack"}}, "variant: there is no variant 'oack'; did you mean oak?"),
        ({"variants": [OAK], "row": {"variant": "OAK"}}, "variant: there is no variant 'OAK'; "),
        ({"prompt": "p", "row": {"variant": "oak"}}, "variant: there is no variant 'oak'; there are: default"),
        ({"row": {"prompt": "p", "variant": "a b"}}, "variant: a variant's name is 1-64 of"),
        ({"row": {"prompt": "p", "variant": "oak-1"}}, "variant: a variant's name may not end in - and a digit"),
        ({"variants": BOTH}, "prompt: uses {prompt}, but the row has none"),
        ({"row": {"prompt": "{prompt}"}}, "prompt: uses {prompt}, which is itself"),
        ({"variants": BOTH, "row": {"prompt": "a {prompt}"}}, "prompt: uses {prompt}, which is itself"),
        (
            {"prompt": "{titel}", "row": {"title": "T"}},
            "prompt: uses {titel}, but there is no such column; did you mean",
        ),
        ({"prompt": "{title}", "row": {"title": " "}}, "prompt: uses {title}, but there is no such column"),
        ({"prompt": "{strength}", "row": {"strength": 0.5}}, "prompt: uses {strength}, which is restyle's own column"),
        ({"prompt": "p", "row": {"negative_prompt": "a {"}}, "negative_prompt: has a lone {"),
        ({"row": {"title": "T"}}, "prompt: there is none: fill the column, or give --prompt or --variants"),
        ({"prompt": "p", "own": {"defaults": {"strenght": 1}}}, "m.json: defaults.strenght: is no parameter; did you"),
        ({"prompt": "p", "own": {"defaults": {"strength": 9}}}, "m.json: defaults.strength: 9.0 is out of range"),
        ({"own": {"variants": [{"name": "a", "seed": -9}]}}, "m.json: a.seed: -9 is out of range"),
        ({"own": {"variants": []}}, "m.json: has no variants"),
        ({"prompt": "p" * 16_000}, "prompt: the prompts and columns of this job come to"),
        ({"prompt": "{title}{title}{title}", "row": {"title": "ü" * 3000}}, "at most 15,000 fit into a message"),
    ],
)
def test_entries_that_are_not_planned(asked: dict[str, Any], reason: str) -> None:
    """What a row and its variants cannot mean together is a bad line."""
    assert reason in told(**asked)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"prompt": "p", "variants": [OAK]}, "--prompt is a variant of its own: give it or --variants, not both"),
        ({"prompt": " "}, "--prompt is empty"),
        ({"prompt": "p", "sets": ["strength"]}, "--set strength: is empty; write it as name=value"),
        ({"prompt": "p", "sets": ["strength="]}, "--set strength: is empty; write it as name=value"),
        ({"prompt": "p", "sets": ["strenght=1"]}, "--set strenght: is no parameter; did you mean strength?"),
        ({"prompt": "p", "sets": ["image=x"]}, "--set image: is no parameter"),
        ({"prompt": "p", "sets": ["strength=7"]}, "--set strength: 7.0 is out of range: 0.1 to 1"),
        ({"prompt": "p", "sets": ["prompt=a {"]}, "--set prompt: has a lone {"),
        (
            {"prompt": "p", "toml": {"steps": 30}},
            "restyle.toml: [defaults] steps: is no parameter; did you mean num_inf",
        ),
        ({"prompt": "p", "sets": ["seed=1"], "new_seed": True}, "--set seed and --new-seed both choose the seed"),
        ({"prompt": "p", "overwrite": True}, "same seed, same picture. Add --new-seed"),
        ({"prompt": "p", "output": "out/"}, "--output out/: write it as s3://bucket/prefix"),
        ({"prompt": "p", "limit": 0}, "--limit 0: it is a number from 1 on"),
        ({"prompt": "p", "sample": 0}, "--sample 0: it is a number from 1 on"),
    ],
)
def test_options_that_cannot_be(asked: dict[str, Any], reason: str) -> None:
    """Options that are wrong, or go against each other, are usage errors."""
    with pytest.raises(ConfigurationError) as caught:
        planned(**asked)
    assert reason in caught.value.message


# -- seeds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "seed"),
    [
        ({}, SEED),
        ({"row": {"prompt": "another"}}, SEED),
        ({"row": {"strength": 0.2}}, SEED),
        ({"row": {"seed": 5}}, 5),
        ({"row": {"seed": -1}}, -1),
        ({"row": {"seed": 0}}, 0),
        ({"sets": ["seed=-1"], "row": {"seed": 5}}, -1),
        ({"row": {"mark": "redo", "seed": 5}}, 5),
        ({"row": {"mark": "redo"}, "sets": ["seed=6"]}, 6),
        ({"row": {"mark": "redo"}, "sets": ["strength=0.2"]}, SEED),
    ],
)
def test_seeds(asked: dict[str, Any], seed: int) -> None:
    """A seed is the given one, -1 too, or derived from the job alone."""
    assert params(planned(prompt="p", **asked))["default"].seed == seed


@pytest.mark.parametrize(
    "asked",
    [
        {"new_seed": True},
        {"new_seed": True, "row": {"seed": 5}},
        {"row": {"mark": "redo"}},
        {"row": {"mark": "redo", "prompt": "own", "strength": 0.2}},
    ],
)
def test_new_seeds(asked: dict[str, Any]) -> None:
    """`--new-seed` and `redo` give the seed of this run: the same within it, another in each."""
    seeds = [SEED]
    for _ in range(2):
        plan = planned(prompt="p", **asked)
        seeds += {params(plan)["default"].seed, params(plan)["default"].seed}
        assert seeds[-1] == derived_seed(WORKSPACE.job_id("mug", "default"), plan.run_id)
    assert len(set(seeds)) == len(seeds) == 3


def test_each_variant_has_its_own_seed() -> None:
    """Variants of one image do not share a seed."""
    found = params(planned(variants=[OAK, PINE]))
    assert {name: one.seed for name, one in found.items()} == {
        name: derived_seed(WORKSPACE.job_id("mug", name)) for name in ("oak", "pine")
    }


# -- reports -----------------------------------------------------------------------------------------------

REPORT = {
    "run_id": "r", "job_id": WORKSPACE.job_id("mug", "oak"), "id": "mug", "variant": "oak",
    "image": IMAGE, "outcome": "succeeded", "error": "",
    "http_status": "", "message": "", "attempts": "1", "in_doubt": "0", "credits": "0.02", "seed": "7",
    "output": "s3://shop/team/outputs/mug/oak.jpg", "record": "s3://shop/team/records/mug/oak.json",
    "prompt": "a {{mug}}", "negative_prompt": "", "samples": "2", "scheduler": "DDIM", "base_model": "juggernaut",
    "num_inference_steps": "40", "guidance_scale": "7", "strength": "0.5", "base64": "false", "title": "T",
}  # fmt: skip


def again(
    row: Mapping[str, str] | None = None, variants: Sequence[Mapping[str, Any]] | None = None, **more: Any
) -> Plan:
    """The plan of a report of one job."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [*REPORT, *({} if row is None else row.keys() - REPORT.keys())])
    writer.writeheader()
    writer.writerow({**REPORT, **(row or {})})
    Path("report.csv").write_text(out.getvalue())
    if variants is not None:
        Path("v.json").write_text(json.dumps(variants))
        more["variants"] = "v.json"
    return make_plan(PlanRequest("report.csv", **more), Settings(), workspace=WORKSPACE, store=None)


def test_a_report_is_planned_as_it_was() -> None:
    """All parameters of a report stand, nothing that the run tells does, and its output is planned anew."""
    (job,) = again().stream()
    assert isinstance(job, Resolved)
    assert job.params == Params(
        prompt="a {mug}", samples=2, scheduler="DDIM", num_inference_steps=40, guidance_scale=7, strength=0.5, seed=7
    )
    assert (job.variant, job.entry.id, job.entry.meta) == ("oak", "mug", {"title": "T"})
    assert job.output == "s3://shop/team/outputs/mug/oak.jpg"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"variants": [{"name": "oak", "prompt": "new {title}"}]}, {"prompt": "new T", "strength": 0.5}),
        ({"variants": [{"name": "oak", "prompt": "{prompt} new"}]}, {"prompt": "a {mug} new"}),
        ({"variants": [{"name": "oak", "strength": 0.9}]}, {"prompt": "a {mug}", "strength": 0.9, "seed": 7}),
        ({"variants": [{"name": "oak", "seed": 9}, PINE]}, {"seed": 9}),
        ({"sets": ["strength=0.3"]}, {"strength": 0.3, "samples": 2}),
        ({"sets": ["strength=0.3"], "variants": [{"name": "oak", "strength": 0.9}]}, {"strength": 0.3}),
        ({"sets": ["prompt=set {title}"]}, {"prompt": "set T", "seed": 7}),
        ({"sets": ["strength=0.3"], "row": {"mark": "redo"}}, {"strength": 0.3, "seed": 7}),
        ({"variants": [{"name": "oak", "prompt": "other"}], "row": {"mark": "redo"}}, {"prompt": "other", "seed": 7}),
        ({"sets": ["seed=8"], "row": {"mark": "redo"}}, {"seed": 8}),
    ],
)
def test_what_beats_a_report(asked: dict[str, Any], expected: dict[str, object]) -> None:
    """`--variants` and `--set` both beat a report's columns; what they leave open stands, the seed too."""
    (job,) = again(**asked).stream()
    assert isinstance(job, Resolved)
    assert {name: job.params.model_dump()[name] for name in expected} == expected


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"variants": [{"name": "oak", "prompt": "a {{mug}}"}]},
        {"variants": [{"name": "oak", "prompt": " a {{{thing}}} "}], "row": {"thing": "mug"}},
        {"sets": ["strength=0.50"]},
    ],
)
def test_a_redo_of_a_report_gets_another_seed(asked: dict[str, Any]) -> None:
    """A marked row is done again with another seed, also where its variant is the very one that it was made with."""
    plan = again(**{**asked, "row": {"mark": "redo", **asked.get("row", {})}})
    (job,) = plan.stream()
    assert isinstance(job, Resolved)
    assert job.params.seed == derived_seed(WORKSPACE.job_id("mug", "oak"), plan.run_id)
    assert job.params.prompt == "a {mug}"


def test_a_report_row_of_a_variant_that_is_gone() -> None:
    """A report's variant that the new file does not have is a bad line, never another variant."""
    with pytest.raises(ManifestError, match=r"report.csv:2: variant: there is no variant 'oak'; there are: pine"):
        again(variants=[PINE])


@pytest.mark.parametrize(
    ("url", "sandbox", "in_clear"),
    [
        ("https://api.segmind.com/v1/sdxl-img2img", False, False),
        ("http://127.0.0.1:8000/v1/sdxl-img2img", False, False),
        ("http://localhost/v1/sdxl-img2img", False, False),
        ("http://gateway.corp/v1/sdxl-img2img", False, True),
        ("http://sandbox:8000/v1/sdxl-img2img", True, False),
    ],
)
def test_who_could_read_the_key(url: str, sandbox: bool, in_clear: bool) -> None:
    """Over a network without TLS, but on this machine or in the sandbox."""
    assert Settings(api_url=url, sandbox=sandbox).sends_key_in_clear is in_clear


def test_a_plan_says_where_the_key_goes_in_clear(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is spent, and only where it does."""
    for url, is_told in (("http://api.example/v1/sdxl-img2img", True), ("https://api.example/v1/sdxl-img2img", False)):
        show_plan(planned(row={"prompt": "p"}), Settings(api_url=url))
        assert ("sends the API key in clear" in capsys.readouterr().err) is is_told


@pytest.mark.parametrize("name", ["api_url", "history_url"])
@pytest.mark.parametrize("login", ["me:secret", "secret", ":secret", "me:sec@ret", "me:sec/ret"])
def test_an_address_with_a_password_is_refused(name: str, login: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would stand in `restyle config`, in records and in logs; nor does the refusal repeat it."""
    monkeypatch.setenv(f"RESTYLE_{name.upper()}", f"https://{login}@api.example/v1/sdxl-img2img")
    with pytest.raises(ConfigurationError, match="leave them out") as raised:
        load_settings()
    assert "sec" not in raised.value.message


def test_the_history_too_gets_the_key() -> None:
    """With v2, where submits are looked up."""
    url = "http://history.example/requests"
    assert Settings(history_url=url, api="v2").sends_key_in_clear is True
    assert Settings(history_url=url, api="v1").sends_key_in_clear is False
    assert Settings(history_url="off", api="v2").sends_key_in_clear is False
