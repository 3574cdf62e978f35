"""What the forge runs: the same commands as here, by actions that cannot change, with no more rights than needed."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def read(path: Path) -> dict[str, Any]:
    """A file of YAML; its key `on` is read as a truth value."""
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def steps() -> list[tuple[str, dict[str, Any]]]:
    """Every step of every workflow."""
    return [
        (path.name, step) for path in WORKFLOWS for job in read(path)["jobs"].values() for step in job["steps"]
    ]  # fmt: skip


def test_every_supported_python_is_tested() -> None:
    """The matrix has each version from the one that pyproject.toml asks for up to the newest."""
    matrix = read(ROOT / ".github/workflows/tests.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert matrix == ["3.11", "3.12", "3.13", "3.14"]
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_actions_are_pinned_by_commit() -> None:
    """A tag can be moved, a commit cannot; the tag stands behind it for whoever reads."""
    for path in WORKFLOWS:
        for line in path.read_text(encoding="utf-8").splitlines():
            if "uses:" in line:
                assert re.search(r"uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), f"{path.name}: {line}"


def test_workflows_have_no_more_rights_than_they_need() -> None:
    """Each may read; only a release may write; a checkout leaves no credentials behind."""
    for path in WORKFLOWS:
        assert read(path)["permissions"] == {"contents": "read"}, path.name
        for name, job in read(path)["jobs"].items():
            assert ("permissions" in job) == (name == "release"), path.name
            assert job["timeout-minutes"] <= 120
    for name, step in steps():
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False, name


@pytest.mark.parametrize("command", sorted({step["run"] for _, step in steps() if "run" in step}))
def test_commands_are_ours(command: str) -> None:
    """What a workflow runs is a target of the Makefile, a script of the repository, or the container engine."""
    first = command.split(maxsplit=1)[0]
    if first == "make":
        done = subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    elif first.startswith(".ci/"):
        script = ROOT / first
        assert script.stat().st_mode & 0o111
        assert subprocess.run(["/bin/sh", "-n", str(script)], check=False).returncode == 0
    else:
        assert first in {"docker", "gh"}


def test_the_hooks_are_the_tools_of_make_check() -> None:
    """Before a commit nothing else is asked than `make check` asks, by the same locked tools."""
    hooks = read(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    check = (ROOT / "Makefile").read_text(encoding="utf-8")
    for hook in hooks:
        tool = hook["entry"].split()[0].removeprefix(".venv/bin/")
        assert hook["language"] == "system"
        assert f"$(BIN)/{tool}" in check
        assert shutil.which(tool, path=str(Path(sys.executable).parent)), tool


def test_the_other_files_are_what_their_readers_expect() -> None:
    """The bot's settings and the container's are JSON; forms have fields with names; the policies are there."""
    assert "config:best-practices" in json.loads((ROOT / "renovate.json").read_text(encoding="utf-8"))["extends"]
    assert json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))["image"]
    for name in ("bug.yml", "idea.yml"):
        form = read(ROOT / ".github/ISSUE_TEMPLATE" / name)
        assert {"name", "description", "body"} <= form.keys()
        assert all(field["type"] == "markdown" or field["id"] for field in form["body"])
    for name in ("SECURITY.md", "CODE_OF_CONDUCT.md", ".github/pull_request_template.md", "LICENSE"):
        assert (ROOT / name).read_text(encoding="utf-8").strip()


def test_the_provenance_names_every_file_with_its_digest(tmp_path: Path) -> None:
    """It is a statement about what lies in dist/, with the commit and the locks that it was made from."""
    for part in ("requirements", ".ci"):
        shutil.copytree(ROOT / part, tmp_path / part)
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/a.whl").write_bytes(b"wheel")
    subprocess.run([sys.executable, str(tmp_path / ".ci/provenance"), "0.1.0"], check=True)
    found = json.loads((tmp_path / "dist/provenance.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256(b"wheel").hexdigest()
    assert found["subject"] == [{"name": "a.whl", "digest": {"sha256": digest}}]
    definition, run = found["predicate"]["buildDefinition"], found["predicate"]["runDetails"]
    source, *locks = definition["resolvedDependencies"]
    assert source["digest"].keys() == {"gitCommit"}
    assert {"file:requirements/base.txt", "file:requirements/dist.txt"} <= {lock["uri"] for lock in locks}
    # The types of the build and of who built it are addresses, as SLSA asks for.
    assert all(re.match(r"[a-z]+:", name) for name in (definition["buildType"], run["builder"]["id"], source["uri"]))
