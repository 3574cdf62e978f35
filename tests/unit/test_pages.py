"""Every command of the documentation is typed by a test, or there is a reason why none can."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pages import ROOT, blocks, marked, sections

#: Sections whose commands no test types, and why.
UNTYPED = {
    ("README.md", "See it"): "`make demo` is typed for the tutorial; `make test` runs the tests",
    ("CONTRIBUTING.md", "Set up"): "these run the tests, and what continuous integration runs",
    (
        "docs/tutorial.md",
        "1. See it once",
    ): "it installs; `restyle demo` itself is run by .ci/dist and test_processes.py",
    ("deploy/kubernetes/README.md", "restyle on Kubernetes"): "it needs a cluster; test_deploy.py holds the manifests",
}

#: Languages of blocks that hold no commands.
OTHERS = {"", "text", "toml", "python", "crontab", "ini", "yaml", "makefile"}


def pages() -> list[str]:
    """Every page that people read. The reference and the metrics are generated; docs/index.md and the like include."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    for folder in ("docs", "examples", "apps", "deploy", "bench"):
        found += sorted((ROOT / folder).rglob("*.md"))
    return [path.relative_to(ROOT).as_posix() for path in found]


def test_every_section_with_commands_is_typed() -> None:
    """A new page, a new heading with commands: somebody has to type them."""
    there = {(page, heading) for page in pages() for heading in sections(page)}
    told = [
        (page, heading) for _, page, headings in marked(ROOT / "tests/acceptance")
        for heading in headings or [heading for heading in sections(page) if (page, heading) not in UNTYPED]
    ]  # fmt: skip
    assert there - UNTYPED.keys() - set(told) == set(), "no test types these: mark one with `page`"
    assert {*told, *UNTYPED} - there == set(), "these are no sections with commands"
    assert set(told) & UNTYPED.keys() == set()
    assert all(UNTYPED.values())


@pytest.mark.parametrize("page", pages())
def test_commands_stand_in_blocks_of_sh(page: str) -> None:
    """No command hides in a block of another language."""
    for heading, language, text in blocks((ROOT / page).read_text(encoding="utf-8")):
        assert language in {"sh", *OTHERS}, f"{heading}: write sh for {language}"
        if language != "sh" and not page.startswith("docs/reference/"):
            first = {line.split(maxsplit=1)[0] for line in text.splitlines() if line.strip()}
            assert not first & {"restyle", "make", "docker", "curl", "pip", "$"}, heading


def test_a_new_block_is_noticed(tmp_path: Path) -> None:
    """Blocks are found with the heading above them, in lists too; a comment in one is no heading."""
    text = (
        "# Title\n```sh\n# no heading\nmake demo\n```\n"
        "## Two\n1. so\n\n   ```sh\n   kubectl\n   ```\n```bash\nls\n```\n"
    )
    assert list(blocks(text)) == [
        ("Title", "sh", "# no heading\nmake demo\n"), ("Two", "sh", "kubectl\n"), ("Two", "bash", "ls\n"),
    ]  # fmt: skip
    (tmp_path / "test_it.py").write_text('@pytest.mark.page("README.md", "Two")\ndef test_a(): ...\n')
    assert list(marked(tmp_path)) == [("test_it.py::test_a", "README.md", ["Two"])]
