"""Writes man pages from the help, one a command: `python docs/make_man.py FOLDER` makes restyle.1 and so on."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import typer

from apps.cli import app
from apps.cli.commands import COMMANDS, load

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Writes them into the folder that is named."""
    write(Path(sys.argv[1]))


def write(folder: Path) -> None:
    """Writes them into a folder, which is made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages():
        (folder / f"{name}.1").write_text(text, encoding="utf-8")


def pages() -> Iterator[tuple[str, str]]:
    """Each page's name and text: the program's, then one for each command."""
    root: Any = typer.main.get_command(app)
    commands = [command for command in map(load, COMMANDS) if not command.hidden]
    listed = [_item(f"restyle-{command.name}(1)", _first_sentence(command.help)) for command in commands]
    yield "restyle", "".join(
        (_head("restyle", _first_sentence(root.help)), _section("SYNOPSIS", ".B restyle\n\\fICOMMAND\\fR [OPTIONS]\n"),
         _section("DESCRIPTION", _text(root.help)), _section("COMMANDS", "".join(listed)), _ends())
    )  # fmt: skip
    for command in commands:
        yield from _page(f"restyle {command.name}", command)


def _page(words: str, command: Any) -> Iterator[tuple[str, str]]:
    name = words.replace(" ", "-")
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    given = " ".join(rf"\fI{_plain(one.metavar or one.name.upper())}\fR" for one in arguments)
    below = [one for one in getattr(command, "commands", {}).values() if not one.hidden]
    parts = [
        _head(name, _first_sentence(command.help)),
        _section("SYNOPSIS", f".B {words}\n{f'{given} [OPTIONS]'.strip()}\n"),
        _section("DESCRIPTION", _text(command.help or "")),
        _section("OPTIONS", "".join(_option(one) for one in command.params if not getattr(one, "hidden", False))),
    ]
    if below:
        listed = (_item(f"{name}-{one.name}(1)", one.help) for one in below)
        parts.append(_section("COMMANDS", "".join(listed)))
    if command.epilog:
        parts.append(_section("EXAMPLES", _text(re.sub(r"^Examples?: ", "", command.epilog))))
    yield name, "".join([*parts, _ends()])
    for one in below:
        yield from _page(f"{words} {one.name}", one)


def _head(name: str, about: str) -> str:
    title = f'.TH {name.upper()} 1 "" "restyle {version("catalog-restyle")}"'
    return f"{title}\n.SH NAME\n{_plain(name)} \\- {_plain(about)}\n"


def _section(title: str, text: str) -> str:
    return f".SH {title}\n{text}" if text.strip() else ""


def _option(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return _item(parameter.metavar or parameter.name.upper(), parameter.help)
    written = ", ".join((*parameter.opts, *parameter.secondary_opts))
    value = "" if parameter.is_flag else f" {parameter.metavar or 'VALUE'}"
    return _item(written + value, parameter.help)


def _item(name: str, about: str | None) -> str:
    return f".TP\n.B {_plain(name)}\n{_text(about or '')}"


def _ends() -> str:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Exit codes")[2]
    rows = re.findall(r"^\| ([0-9, ]+) \| (.+) \|$", table, re.MULTILINE)
    return _section("EXIT STATUS", "".join(_item(code, about.replace("`", "")) for code, about in rows))


def _first_sentence(text: str | None) -> str:
    return re.split(r"(?<=[.:])\s", (text or "").strip(), maxsplit=1)[0].rstrip(".:")


def _text(text: str) -> str:
    """Help as paragraphs; a line that begins with a dot or an apostrophe would be an order to troff."""
    paragraphs = [re.sub(r"\s+", " ", part).strip() for part in re.split(r"\n\s*\n", text.strip())]
    return "\n.PP\n".join(_plain(part) for part in paragraphs if part) + "\n"


def _plain(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = "".join(char if char.isascii() else rf"\[u{ord(char):04X}]" for char in text)
    return f"\\&{text}" if text[:1] in {".", "'"} else text


if __name__ == "__main__":
    main()
