"""Writes docs/reference/ from the code: the commands, and the record; `--check` fails where a page is not current."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from apps.cli import app
from apps.cli.commands import COMMANDS, load

#: Options that every command has.
OF_ALL = ("quiet", "verbose")

DOCS = Path(__file__).parent
NOTE = "<!-- Written by docs/make_reference.py from the code. -->\n"


def main() -> None:
    """Writes the pages, or checks them."""
    pages = {"commands.md": commands(), "record.md": record()}
    for name, text in pages.items():
        page = DOCS / "reference" / name
        if "--check" not in sys.argv[1:]:
            page.write_text(text, encoding="utf-8")
        elif not page.exists() or page.read_text(encoding="utf-8") != text:
            sys.exit(f"{page} is not current; run: python docs/make_reference.py")


# -- commands ----------------------------------------------------------------------------------------------


def commands() -> str:
    """Every command with its arguments, options and examples, as `restyle COMMAND --help` has them."""
    root: Any = typer.main.get_command(app)
    everywhere = [_row(param) for param in load("run").params if param.name in OF_ALL]
    table = "\n".join(["| every command | default | |", "|---|---|---|", *everywhere])
    parts = [f"{NOTE}# Commands\n\n{root.help}\n\nExit codes: [formats](../formats.md#exit-codes).\n\n{table}\n"]
    parts += [_section(words, leaf) for words, leaf in _leaves(map(load, COMMANDS), "restyle")]
    return "\n".join(parts)


def _leaves(commands: Iterable[Any], words: str) -> Iterator[tuple[str, Any]]:
    for command in commands:
        if command.hidden:
            continue
        below = f"{words} {command.name}"
        if hasattr(command, "commands"):
            if command.invoke_without_command:
                yield below, command
            yield from _leaves(command.commands.values(), below)
        else:
            yield below, command


def _section(words: str, command: Any) -> str:
    lines = [f"## {words}\n", f"{_plain(command.help or '')}\n"]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    usage = " ".join([words, *(a.metavar or a.name.upper() for a in arguments), "[OPTIONS]"])
    lines.append(f"```text\n{usage}\n```\n")
    own = [parameter for parameter in command.params if parameter.name not in OF_ALL]
    rows = [_row(parameter) for parameter in own if not getattr(parameter, "hidden", False)]
    rows = [row for row in rows if not row.startswith("| `--help`")]
    if rows:
        lines += ["| | default | |", "|---|---|---|", *rows, ""]
    if command.epilog:
        lines.append(f"{_plain(command.epilog)}\n")
    return "\n".join(lines)


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = f"`{parameter.metavar or parameter.name.upper()}`"
    else:
        metavar = parameter.metavar or ("" if parameter.is_flag else _kind(parameter))
        written = ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))
        name = f"{written} {metavar}".rstrip()
    default = parameter.default
    plain = isinstance(default, (int, float, str)) and not isinstance(default, bool) and default != ""
    return f"| {name} | {f'`{default}`' if plain else ''} | {_plain(parameter.help or '')} |"


def _kind(parameter: Any) -> str:
    """The placeholder for an option's value, where it has none of its own."""
    annotation = parameter.type_descriptor.annotation
    return {int: "N", float: "NUMBER"}.get(annotation, "TEXT")


def _plain(text: str) -> str:
    """Help as Markdown on one line."""
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|").replace("<", "&lt;")


# -- the record --------------------------------------------------------------------------------------------


def record() -> str:
    """Every field of a record."""
    schema = json.loads((DOCS / "record.schema.json").read_text(encoding="utf-8"))
    lines = [
        f"{NOTE}# The record", "", _plain(schema["description"]), "",
        "Its JSON Schema is `docs/record.schema.json` in the repository.", "", "| field | type | |", "|---|---|---|",
        *_fields(schema, schema["$defs"], ""),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _fields(schema: dict[str, Any], known: dict[str, Any], under: str) -> Iterator[str]:
    for name, part in schema["properties"].items():
        items = part.get("items", part)
        yield f"| `{under}{name}` | {_type(part)} | {_plain(part.get('description', ''))} |"
        if reference := items.get("$ref"):
            below = f"{under}{name}{'[].' if items is not part else '.'}"
            yield from _fields(known[reference.rpartition("/")[2]], known, below)


def _type(part: dict[str, Any]) -> str:
    if "const" in part:
        return f"`{json.dumps(part['const'])}`"
    if "enum" in part:
        return " or ".join(f"`{json.dumps(value)}`" for value in part["enum"])
    if "anyOf" in part:
        return " or ".join(_type(form) for form in part["anyOf"])
    return str(part.get("format") or part.get("type", "object"))


if __name__ == "__main__":
    main()
