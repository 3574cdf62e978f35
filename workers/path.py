"""Takes the current folder off the path of modules, where Celery's command or `python -m` has put it in front.

A `config.py` or `tasks.py` of the folder that somebody works in would take the place of ours. Where our modules are
read from that very folder, as in a checkout that is not installed, it stays, and so it does where PYTHONPATH names it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def without_current_folder() -> None:
    """Does so, for what is imported from then on."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # it was removed, and nothing can be imported from it
        return
    named = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    if Path(__file__).is_relative_to(here) or here in {Path(entry).absolute() for entry in named}:
        return
    sys.path[:] = [entry for entry in sys.path if entry not in {"", str(here)}]
