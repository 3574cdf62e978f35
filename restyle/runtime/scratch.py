"""Tables that may outgrow memory: SQLite in a file of its own, which goes with the object that keeps it."""

from __future__ import annotations

import sqlite3
import weakref


def scratch(keeper: object, *pragmas: str, autocommit: bool = False) -> sqlite3.Connection:
    """An empty database in a file that SQLite removes; it is for this process alone, and no write of it is synced.

    Args:
        keeper: whose database it is. It is closed when the keeper is collected, unless that was done before.
        pragmas: further settings of SQLite, as `cache_size = -16384`.
        autocommit: whether the keeper begins and commits by itself; else all is one transaction, which never ends.
    """
    # Whichever thread collects the keeper closes it; SQLite itself is built to be shared among threads.
    connection = sqlite3.connect("", isolation_level=None if autocommit else "DEFERRED", check_same_thread=False)
    close_with(keeper, connection)
    for pragma in ("synchronous = OFF", "journal_mode = OFF", *pragmas):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def close_with(keeper: object, connection: sqlite3.Connection) -> None:
    """Closes a connection when its keeper is collected; since Python 3.13 one that is left open is a warning."""
    weakref.finalize(keeper, connection.close)
