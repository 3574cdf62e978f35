"""Writes README's table of what restyle is proved with, from docs/reliability.md; `--check` fails for an old one."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- written by docs/make_proved.py -->", "<!-- end of what it is proved with -->"
SERVERS, MACHINES, CONTAINERS = "On other people's servers", "On other machines", "In containers"


def main() -> None:
    """Writes the table, or checks it."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    table = proved((ROOT / "docs/reliability.md").read_text(encoding="utf-8"))
    now = f"{before}{BEGIN}\n{table}{END}{rest.partition(END)[2]}"
    if "--check" not in sys.argv[1:]:
        readme.write_text(now, encoding="utf-8")
    elif text != now:
        sys.exit("README.md is not what docs/reliability.md says; run: python docs/make_proved.py")


def proved(page: str) -> str:
    """The table, by what is in those of the page: a row for each kind of thing, with a link to where it is proved."""
    machines: dict[str, list[str]] = {}
    for row in rows(page, MACHINES):
        machines.setdefault(row["what"], []).append(_named(row["on"], _short(row["result"])))
    redis, s3 = _servers(page)
    lines = ["| proved with | |", "|---|---|", _line("Python", machines.pop("Python"), MACHINES)]
    lines += [_line("Redis and Valkey", redis, SERVERS), _line("S3", s3, SERVERS)]
    if engines := _engines(page):
        lines.append(_line("Containers", engines, CONTAINERS))
    lines += [_line(what, names, MACHINES) for what, names in machines.items()]
    return "\n".join(lines) + "\n"


def _servers(page: str) -> tuple[list[str], list[str]]:
    """The servers of Redis, each with the ways it was reached in, and those of S3: each by its best row."""
    redis: dict[str, dict[str, str]] = {}
    s3: dict[str, str] = {}
    for row in rows(page, SERVERS):
        result = row["tests that held"]
        if result.startswith("skipped"):
            continue
        here, there = row["versions"].split(", ")
        ways = redis.setdefault(here, {})
        ways[row["reached"]] = min(ways.get(row["reached"], _short(result)), _short(result))
        s3[there] = min(s3.get(there, _short(result)), _short(result))
    reached = (
        f"{name} ({', '.join(f'{way} {short}'.strip() for way, short in ways.items())})" for name, ways in redis.items()
    )
    return list(reached), [_named(name, short) for name, short in s3.items()]


def _engines(page: str) -> list[str]:
    """What ran the containers, each with how many of its proofs held where one did not."""
    engines: dict[str, list[bool]] = {}
    for row in rows(page, CONTAINERS):
        engines.setdefault(row["engine"], []).append(not row["result"].startswith("**"))
    return [_named(name, "" if all(held) else f"{sum(held)} of {len(held)}") for name, held in engines.items()]


def _line(what: str, names: Iterable[str], heading: str) -> str:
    anchor = heading.lower().replace(" ", "-").replace("'", "")
    return f"| [{what}](docs/reliability.md#{anchor}) | {', '.join(names)} |"


def rows(page: str, heading: str) -> Iterator[dict[str, str]]:
    """The rows of the first table below a heading, by the names of its columns; none where there is none yet."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[part.strip() for part in line.strip("|").split("|")] for line in lines]
    for values in cells[2:]:
        yield dict(zip(cells[0], values, strict=True))


def _named(name: str, short: str) -> str:
    return f"{name} ({short})" if short else name


def _short(result: str) -> str:
    """What must stand beside the name of a result: nothing, unless something did not hold."""
    return result.split("**")[1] if result.startswith("**") else ""


if __name__ == "__main__":
    main()
