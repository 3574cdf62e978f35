"""The report of a run as a workbook, whose cells no spreadsheet takes for something else: `restyle report RUN --xlsx`.

It has a column `mark` to choose from, and is a manifest again. Rows are written as they come, so memory does not grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xlsxwriter

from producers.runs.outcomes import Rows
from reports.report import PARAM_COLUMNS, RUN_COLUMNS, column_name, columns_of, param_cells, run_cells
from restyle.errors import ConfigurationError
from restyle.keys import Workspace
from restyle.models import Run

#: Rows that a sheet can have, its header aside.
MOST_ROWS = 1_048_575
#: Digits beyond which a spreadsheet rounds.
_EXACT = 10**15
_MARKS = ["keep", "redo", "reject"]
_OPTIONS = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}


def write_sheet(run: Run, rows: Rows, *, workspace: Workspace, file: Path) -> int:
    """Writes the workbook; returns how many rows it has.

    Raises:
        ConfigurationError: the run has more rows than a sheet, or the file cannot be written.
    """
    if run.planned > MOST_ROWS:
        raise ConfigurationError(f"the run has {run.planned:,} jobs, a sheet {MOST_ROWS:,} rows: use report.csv")
    columns = columns_of(rows)
    names = [*RUN_COLUMNS, *PARAM_COLUMNS, *map(column_name, columns), "mark"]
    try:
        with xlsxwriter.Workbook(str(file), _OPTIONS) as book:
            sheet, as_text = book.add_worksheet("report"), book.add_format({"num_format": "@"})
            sheet.freeze_panes(1, 0)
            _write(sheet, 0, names, as_text)
            count = 0
            for count, (job, outcome) in enumerate(rows(), 1):
                cells = run_cells(run, workspace, job, outcome) | param_cells(job.params)
                own = [job.meta.get(name) for name in columns]
                _write(sheet, count, [*(cells[name] for name in (*RUN_COLUMNS, *PARAM_COLUMNS)), *own], as_text)
            if count:
                sheet.data_validation(1, len(names) - 1, count, len(names) - 1, {"validate": "list", "source": _MARKS})
    except (OSError, xlsxwriter.exceptions.XlsxWriterException) as error:
        raise ConfigurationError(f"--xlsx {file}: cannot be written: {error}") from None
    return count


def _write(sheet: Any, line: int, cells: Sequence[object], as_text: Any) -> None:
    for place, cell in enumerate(cells):
        match cell:
            case None | "":
                continue
            case bool():
                sheet.write_boolean(line, place, cell)
            case int() | float() if abs(cell) < _EXACT:
                sheet.write_number(line, place, cell)
            case _:
                sheet.write_string(line, place, str(cell), as_text)
