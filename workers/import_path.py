"""The current folder among the places of modules, which Celery's command and `python -m` put in front of all others.

A `config.py` or `tasks.py` of the folder that somebody works in would take the place of ours: it comes last. Where our
modules are read from that very folder, as in a checkout that is not installed, that makes no difference.
"""

from __future__ import annotations

import os
from pathlib import Path


def is_current_folder(entry: str) -> bool:
    """Whether an entry of `sys.path` is the current folder, and PYTHONPATH does not name it; a key to sort by."""
    try:
        here = str(Path.cwd())
    except FileNotFoundError:  # it was removed, and nothing can be imported from it
        return False
    return entry in {"", here} and here not in os.environ.get("PYTHONPATH", "").split(os.pathsep)
