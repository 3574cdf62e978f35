"""Rules of the house that no other tool keeps: size, typing, docs that follow the code, nothing of one machine."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import typer.main

from apps.cli import app
from apps.cli.commands import COMMANDS, load
from config.settings import Settings

ROOT = Path(__file__).parents[2]
PACKAGES = ("apps", "config", "producers", "reports", "restyle", "tasks", "workers")
MAX_LINES = 300
MAX_FUNCTION_LINES = 40
MAX_MODULES = 15

#: Words of a module's name that say nothing of what it is about.
REFUSED = {"utils", "helpers", "common", "core", "manager", "handler", "processor", "data", "info"}
#: Names that say how a value came about, and not what it is.
NO_NAMES = {"told", "found", "said", "asked", "wanted"}
MAY_BE_NAMES = re.compile(rf"\b_*(?:{'|'.join(NO_NAMES)})_*\s*(?:[^\w\s]|(?:in|if)\b)")
#: Modules of the domain in which something has no type, and why.
UNTYPED = {
    "restyle/coordination/fleet.py": "a script's answer, matched by its form",
    "restyle/coordination/redis/address.py": "options of redis-py, passed on by their names",
    "restyle/coordination/redis/client.py": "answers of Redis, which each caller knows the form of",
    "restyle/http/connecting.py": "signatures of urllib3's and requests' own classes",
    "restyle/http/informational.py": "signatures of http.client's classes; buffers, which Python 3.11 has no type for",
    "restyle/http/timely.py": "the same",
    "restyle/s3/bucket.py": "options of obstore that its types leave out; botocore has no types",
    "restyle/s3/client.py": "botocore has no types",
    "restyle/s3/errors.py": "botocore has no types",
    "restyle/s3/guarded.py": "parameters of boto3, one of which is chosen by its name",
    "restyle/s3/listings.py": "parameters of boto3, passed on by their names",
    "restyle/s3/objects.py": "events of botocore, which has no types; responses of obstore, which has none for them",
    "restyle/s3/parameters.py": "parameters of boto3, whose types would have each as a literal",
    "restyle/s3/replies.py": "a buffer, which Python 3.11 has no type for",
    "restyle/s3/store.py": "parameters of boto3, passed on by their names",
    "restyle/segmind/wording.py": "tables of TOML, of two depths",
}
#: A warning that is switched off, and why.
SWITCHED_OFF = re.compile(r"#\s*(?:noqa|type: ignore)(?P<rest>.*)")
WITH_A_REASON = re.compile(r"(?:: ?[A-Z0-9, ]+|\[[\w, -]+\])?\s*(?:-|#|\().+")
#: Folders of one machine, put together so that this file is no match itself.
OF_ONE_MACHINE = re.compile("|".join(("/" + "work/", "/" + "root/", "/" + "home/[a-z]+/")))


def modules() -> Iterator[Path]:
    """Every module of the six packages."""
    for package in PACKAGES:
        yield from (ROOT / package).rglob("*.py")


def tracked() -> list[Path]:
    """Every file that is, or is about to be, in the repository."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        found = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    return [path for name in found.split("\0") if name and (path := ROOT / name).is_file()]


@cache
def parsed(path: Path) -> ast.Module:
    """A module's tree, for all that is asked of it."""
    return ast.parse(path.read_text(encoding="utf-8"))


def statements(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """The statements of a module, of its classes and functions and of their blocks, a twentieth of its nodes."""
    for node in body:
        yield node
        for block in ("body", "handlers", "orelse", "finalbody", "cases"):
            yield from statements(getattr(node, block, ()))


def read(name: str) -> str:
    """A file's text."""
    return (ROOT / name).read_text(encoding="utf-8")


def schema_script() -> ModuleType:
    """docs/make_schema.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("make_schema", ROOT / "docs/make_schema.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_modules_are_short() -> None:
    """No module has more than 300 lines, the benchmark's included."""
    measured = [*modules(), *(ROOT / "bench").glob("*.py")]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in measured}
    assert lengths
    assert not {str(path.relative_to(ROOT)): lines for path, lines in lengths.items() if lines > MAX_LINES}


def test_modules_are_named_for_what_they_are_about() -> None:
    """No module or folder bears a name that would fit any other as well."""
    wrong = [path for path in modules() if REFUSED & {*path.relative_to(ROOT).parts, path.stem}]
    assert not wrong


def test_folders_are_small() -> None:
    """No folder has more than 15 modules beside one another."""
    counts = Counter(str(path.parent.relative_to(ROOT)) for path in modules() if path.name != "__init__.py")
    assert {folder for folder, count in counts.items() if count > MAX_MODULES} == set()


def test_functions_are_short() -> None:
    """No function has more than 40 lines outside apps/cli/, whose commands take an option a line."""
    long = {
        f"{path.relative_to(ROOT)}:{node.name}"
        for path in modules() if "cli" not in path.parts
        for node in statements(parsed(path).body)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION_LINES
    }  # fmt: skip
    assert long == set()


def test_each_warning_that_is_switched_off_has_a_reason() -> None:
    """Behind each `noqa` and each `type: ignore` stands why."""
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in modules()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (found := SWITCHED_OFF.search(line)) and not WITH_A_REASON.fullmatch(found["rest"])
    ]
    assert wrong == []


def names_of_values(path: Path) -> Iterator[tuple[int, str]]:
    """The names that a module gives to values, each with its line: variables, arguments, attributes."""
    text = path.read_text(encoding="utf-8")
    if not MAY_BE_NAMES.search(text):  # most modules need not be parsed
        return
    for node in ast.walk(parsed(path)):
        match node:
            case (
                ast.Name(id=name, ctx=ast.Store())
                | ast.Attribute(attr=name, ctx=ast.Store())
                | ast.arg(arg=name)
                | ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
                | ast.MatchMapping(rest=str(name))
            ):
                yield node.lineno, name


def test_values_are_named_for_what_they_are() -> None:
    """No value is named told, found, said, asked or wanted."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in modules() for line, name in names_of_values(path) if name.strip("_") in NO_NAMES
    ]  # fmt: skip
    assert wrong == []


def test_the_domain_is_typed() -> None:
    """No module of the domain says `Any` but where a library leaves no other word."""
    untyped = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "restyle").rglob("*.py") if re.search(r"\bAny\b", path.read_text(encoding="utf-8"))
        and any(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(parsed(path)))
    }  # fmt: skip
    assert untyped == UNTYPED.keys()


def test_packages_are_typed() -> None:
    """Each top-level package says to type checkers that it is typed, and is in the wheel."""
    assert [package for package in PACKAGES if not (ROOT / package / "py.typed").is_file()] == []
    wheel = tomllib.loads(read("pyproject.toml"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert tuple(sorted(wheel["packages"])) == PACKAGES


def test_nothing_of_one_machine_is_in_the_repository() -> None:
    """No file names a folder of the machine that it was written on."""
    wrong = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        wrong += [f"{path}: {line}" for line in text.splitlines() if OF_ONE_MACHINE.search(line)]
    assert not wrong


@pytest.mark.parametrize("name", ["base", "otel", "local", "dev", "dist"])
def test_locks_hold_hashes_and_no_address(name: str) -> None:
    """Each locked package is pinned with hashes, and no lock says where packages come from."""
    lines = [
        line for line in read(f"requirements/{name}.txt").splitlines() if line and not line.lstrip().startswith("#")
    ]
    pins = [line for line in lines if not line.startswith(" ")]
    assert pins
    assert all(re.fullmatch(r"[a-z0-9._-]+==\S+( ;.+)? \\", line) for line in pins)
    assert all(line.strip().startswith("--hash=sha256:") for line in lines if line.startswith(" "))
    assert "://" not in "\n".join(lines)


def test_locks_agree() -> None:
    """A package that several locks hold has one version in all of them."""

    def pins(name: str) -> dict[str, str]:
        found = re.findall(r"^([a-z0-9._-]+)==(\S+)", read(f"requirements/{name}.txt"), re.MULTILINE)
        return dict(found)

    base, local, otel, dev = pins("base"), pins("local"), pins("otel"), pins("dev")
    assert base.items() <= local.items() <= dev.items()
    assert base.items() <= otel.items() <= dev.items()


def test_every_setting_is_documented() -> None:
    """docs/settings.md names exactly the variables that people set, tables of restyle.toml aside."""
    rows = re.findall(r"^\| `RESTYLE_([A-Z0-9_]+)` \|", read("docs/settings.md"), re.MULTILINE)
    tables = {"defaults", "schedule", "notify", "models"}
    fields = {name for name in Settings.model_fields if not name.startswith("local_")} - tables
    assert sorted(row.lower() for row in rows) == sorted(fields)


def test_documented_defaults_are_the_defaults() -> None:
    """Each default that docs/settings.md shows is the one that the code has."""
    rows = re.findall(r"^\| `RESTYLE_([A-Z0-9_]+)` \| `([^`]*)` \|", read("docs/settings.md"), re.MULTILINE)
    assert rows
    for name, shown in rows:
        default = Settings.model_fields[name.lower()].default
        text = str(default).lower() if isinstance(default, bool) else str(default)
        assert shown in {text, text.removesuffix(".0")}, name


def test_every_proof_of_the_security_page_exists() -> None:
    """Each module and each test that docs/security.md names is there."""
    page, names = read("docs/security.md"), {path.name for path in tracked()}
    proofs, modules_named = set(re.findall(r"test_\w+\.py", page)), set(re.findall(r"`(\w+/[\w/]+\.\w+)`", page))
    assert proofs
    assert sorted(name for name in proofs if name not in names) == []
    assert sorted(name for name in modules_named if not (ROOT / name).exists()) == []


def test_every_module_that_is_named_exists() -> None:
    """Each module that a page, a comment or a docstring names is there; decisions tell of what is gone, too."""
    named = re.compile(r"(?<![\w/.])(?:apps|config|producers|reports|restyle|tasks|workers)/[\w/]+\.(?:py|lua|toml)\b")
    pages = [path for path in tracked() if path.suffix in {".md", ".py", ".lua", ".toml", ".yml"}]
    told = [path for path in pages if "decisions" not in path.parts and path.name != "CHANGELOG.md"]
    gone = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in told for name in named.findall(path.read_text(encoding="utf-8")) if not (ROOT / name).exists()
    }  # fmt: skip
    assert told
    assert gone == set()


def test_every_command_is_documented() -> None:
    """Each command of `restyle` is named in the README or under docs/."""
    pages = [read("README.md"), *(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))]
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined] # a group has them
    text = "\n".join(pages)
    assert commands
    assert not [name for name in commands if not re.search(rf"restyle {name}\b|`{name}`", text)]


def test_what_help_says_of_each_command_is_what_its_module_says() -> None:
    """The table of commands names all that the modules of apps/cli have, each with its own first words."""
    told = {name: re.sub(r"\s+", " ", load(name).help or "") for name in COMMANDS}
    assert told == {name: words for name, (_module, words) in COMMANDS.items()}
    found = set[str]()
    for module in {module for module, _words in COMMANDS.values()}:
        group = typer.Typer()
        import_module(f"apps.cli.{module}").add_to(group)
        found |= set(typer.main.get_group(group).commands)
    assert found == set(COMMANDS)


def test_links_between_pages_lead_somewhere() -> None:
    """Each relative link of a page names a file that is there."""
    links = [
        (page, link)
        for page in tracked()
        if page.suffix == ".md"
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    ]
    assert links
    assert not [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()]


def test_the_records_schema_is_current() -> None:
    """docs/record.schema.json is what docs/make_schema.py writes."""
    assert read("docs/record.schema.json") == schema_script().text()
