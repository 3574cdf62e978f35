"""Writes docs/record.schema.json, the published schema of a record; `--check` fails where it is not current."""

from __future__ import annotations

import ast
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from restyle import fingerprint, models, outputs
from restyle.record import Record

SCHEMA = Path(__file__).with_name("record.schema.json")
ABOUT = (
    "records/<id>/<variant>.json in a workspace: says that a job is done, and how. A job with a record of the same"
    " fingerprint is never called again."
)


def make_schema() -> dict[str, Any]:
    """The schema of a record as it is stored."""
    made = Record.model_json_schema(mode="serialization")
    for time in made["$defs"]["RecordTimes"]["properties"].values():
        for form in time.get("anyOf", [time]):
            if form["type"] == "string":
                form["format"] = "date-time"
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "restyle record, version 1",
        "description": ABOUT,
    }
    _plain(made)
    _describe({"Record": made, **made["$defs"]})
    return head | {key: value for key, value in made.items() if key not in head}


def _plain(schema: dict[str, Any]) -> None:
    """Removes titles, which only repeat names, and forbids further properties where an object lists its own."""
    schema.pop("title", None)
    if "properties" in schema:
        schema["additionalProperties"] = False
    if isinstance(schema.get("description"), str):
        schema["description"] = " ".join(schema["description"].split())
    for key in ("properties", "$defs"):
        for part in schema.get(key, {}).values():
            _plain(part)


def _describe(schemas: dict[str, dict[str, Any]]) -> None:
    """Adds the docstring below each field as its description.

    pydantic can read them too, but would do so in each process that imports a model.
    """
    for module in (models, fingerprint, outputs):
        for node in ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name in schemas:
                fields = schemas[node.name]["properties"]
                for field, below in pairwise(node.body):
                    name = ast.unparse(field.target) if isinstance(field, ast.AnnAssign) else ""
                    if name in fields and (description := _docstring(below)):
                        fields[name] = dict(sorted({**fields[name], "description": description}.items()))


def _docstring(node: ast.stmt) -> str:
    """The text of a docstring, on one line; empty for any other statement."""
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return " ".join(ast.literal_eval(node.value).split()) if is_text else ""


def text() -> str:
    """The file's content."""
    return json.dumps(make_schema(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Writes the file, or checks it."""
    if "--check" not in sys.argv[1:]:
        SCHEMA.write_text(text(), encoding="utf-8")
    elif not SCHEMA.exists() or SCHEMA.read_text(encoding="utf-8") != text():
        sys.exit(f"{SCHEMA} is not current; run: python docs/make_schema.py")


if __name__ == "__main__":
    main()
