"""The tables in which the jobs of a run are found: what is put into them, and how a filter becomes a question."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

#: Outcomes by their numbers in the index.
OUTCOMES = ("pending", "succeeded", "skipped", "failed")
#: Jobs of a shard at most, as bits of a job's number.
BITS = 20
#: Reasons of failures that are distinguished.
_REASONS = 5000
#: Characters of an entry's words that are searched, and of a message.
_WORDS, _MESSAGE = 400, 300
#: An entry's columns that call the product by its name, from the best on.
TITLES = ("title", "name", "product")

SCHEMA = """
CREATE TABLE job (place INTEGER PRIMARY KEY, outcome INTEGER, suspect INTEGER, variant INTEGER, reason INTEGER,
                  id TEXT, title TEXT, seed INTEGER, credits REAL);
CREATE INDEX by_outcome ON job (outcome);
CREATE INDEX by_variant ON job (variant);
CREATE INDEX by_reason ON job (reason, outcome) WHERE reason IS NOT NULL;
CREATE INDEX by_suspect ON job (suspect) WHERE suspect = 1;
CREATE VIRTUAL TABLE words USING fts5(text, content='', detail=none, tokenize="unicode61 tokenchars '-_.'");
CREATE TABLE variant (number INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE reason (number INTEGER PRIMARY KEY, error TEXT, message TEXT, UNIQUE (error, message));
CREATE TABLE mark (place INTEGER PRIMARY KEY, mark TEXT);
"""
#: What the index takes for a word.
_TERM = re.compile(r"[\w.-]+")
COLUMNS = "place, id, title, v.name, outcome, suspect, error, message, seed, credits"
NAMES = " LEFT JOIN variant AS v ON v.number = job.variant LEFT JOIN reason AS r ON r.number = job.reason"


@dataclass(frozen=True)
class Filter:
    """Which jobs are looked for; what is empty filters nothing."""

    text: str = ""
    outcome: str = ""
    """One of OUTCOMES, or `suspect`."""
    variant: str = ""
    reason: int = 0
    """The number of a reason of failure."""
    mark: str = ""
    """keep, redo, reject; `any`, `none`."""


class Writer:
    """Puts jobs into the index."""

    def __init__(self, table: sqlite3.Connection) -> None:
        self._table = table
        self._variants: dict[str, int] = {name: number for number, name in table.execute("SELECT * FROM variant")}
        self._reasons: dict[tuple[str, str], int] = {
            (error, message): number for number, error, message in table.execute("SELECT * FROM reason")
        }  # fmt: skip

    def take(self, shard: int, lines: Sequence[tuple[dict[str, Any], Any]], *, is_new: bool) -> None:
        """Puts a shard's jobs in, in the place of what was known of them; their words once."""
        insert = "INSERT OR REPLACE INTO job VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        self._table.executemany(insert, self._rows(shard, lines))
        if is_new:
            words = ((shard << BITS | index, _words(job)) for index, (job, _) in enumerate(lines))
            self._table.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", words)

    def _rows(self, shard: int, lines: Sequence[tuple[dict[str, Any], Any]]) -> Iterator[tuple[Any, ...]]:
        for index, (job, ended) in enumerate(lines):
            entry, outcome = str(job.get("id", "")), ended or {}
            meta, params = job.get("meta") or {}, job.get("params") or {}
            kind = str(outcome.get("outcome", "pending"))
            number = OUTCOMES.index(kind) if kind in OUTCOMES else 0
            reason = self._reason(entry, outcome) if number == 3 or outcome.get("suspect") else None
            title = next((str(meta[name]) for name in TITLES if meta.get(name)), "")
            yield (
                shard << BITS | index, number, 1 if outcome.get("suspect") else 0,
                self._variant(str(job.get("variant", ""))), reason, entry, title[:120],
                params.get("seed") if outcome.get("seed") is None else outcome["seed"], outcome.get("credits", 0.0),
            )  # fmt: skip

    def _variant(self, name: str) -> int:
        if name not in self._variants:
            self._variants[name] = len(self._variants) + 1
            self._table.execute("INSERT OR IGNORE INTO variant VALUES (?, ?)", (self._variants[name], name))
        return self._variants[name]

    def _reason(self, entry: str, outcome: dict[str, Any]) -> int:
        """The number of a failure's reason; equal but for the entry's id they are one."""
        if outcome.get("suspect"):
            error, message = "suspect", ", ".join(map(str, outcome["suspect"]))
        else:
            error = str(outcome.get("error", ""))
            message = str(outcome.get("message", "")).replace(entry, "…") if entry else str(outcome.get("message", ""))
        key = error[:100], message[:_MESSAGE]
        if key not in self._reasons:
            if len(self._reasons) >= _REASONS:
                key = key[0], "and others"
            if key not in self._reasons:
                self._reasons[key] = len(self._reasons) + 1
                self._table.execute("INSERT OR IGNORE INTO reason VALUES (?, ?, ?)", (self._reasons[key], *key))
        return self._reasons[key]


def _words(job: dict[str, Any]) -> str:
    """What a job can be searched by: its id, its entry's columns, its prompt."""
    meta, params = job.get("meta") or {}, job.get("params") or {}
    return " ".join((str(job.get("id", "")), *map(str, meta.values()), str(params.get("prompt", ""))))[:_WORDS]


@dataclass(frozen=True)
class Question:
    """A filter as SQL, from where on."""

    source: str
    """The tables, and what is asked of them."""
    values: tuple[Any, ...]
    order: str = "place"

    @property
    def is_all(self) -> bool:
        """Whether every job matches."""
        return self.source == "job"


def question_of(query: Filter, table: sqlite3.Connection) -> Question:
    """What is asked of the tables for a filter."""
    parts: list[str] = []
    values: list[Any] = []
    if query.outcome == "suspect":
        parts.append("suspect = 1")
    elif query.outcome in OUTCOMES:
        parts.append(f"outcome = {OUTCOMES.index(query.outcome)}")
    if query.variant:
        parts.append("variant = (SELECT number FROM variant WHERE name = ?)")
        values.append(query.variant)
    if query.reason:
        parts.append("reason = ?")
        values.append(query.reason)
    if query.mark == "none":
        parts.append("place NOT IN (SELECT place FROM mark)")
    elif query.mark == "any":
        parts.append("place IN (SELECT place FROM mark)")
    elif query.mark:
        parts.append("place IN (SELECT place FROM mark WHERE mark = ?)")
        values.append(query.mark)
    if words := _TERM.findall(query.text.lower())[:8]:
        holding = " AND ".join("instr(lower(error || ' ' || message), ?)" for _ in words)
        reasons = [number for (number,) in table.execute(f"SELECT number FROM reason WHERE {holding}", words)]  # noqa: S608 - our own words
        match = " ".join(_term(word, table) for word in words)
        if not reasons:
            # What words find comes in order, and is not gathered first: of a million the first page is there at once.
            more = "".join(f" AND {part}" for part in parts)
            source = f"words CROSS JOIN job ON place = words.rowid WHERE words MATCH ?{more}"
            return Question(source, (match, *values), "words.rowid")
        numbers = ", ".join(map(str, reasons))
        failed = f"SELECT place FROM job WHERE reason IN ({numbers})"  # noqa: S608 - our own words
        parts.append(f"place IN (SELECT rowid FROM words WHERE words MATCH ? UNION {failed})")  # noqa: S608 - our own words
        values.append(match)
    return Question("job" + (" WHERE " + " AND ".join(parts) if parts else ""), tuple(values))


def _term(word: str, table: sqlite3.Connection) -> str:
    """A word as it is searched: ids by their beginnings, others whole where there are such, which many jobs share."""
    whole = f'"{word}"'
    if any(char.isdigit() for char in word):
        return f"{whole}*"
    found_whole = table.execute("SELECT 1 FROM words WHERE words MATCH ? LIMIT 1", (whole,)).fetchone()
    return whole if found_whole else f"{whole}*"
