"""What becomes of memory that is no longer used: how glibc's allocator and Python's collector go about it."""

from __future__ import annotations

import ctypes
import gc

#: Of malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def hold_little() -> None:
    """Has it use one arena rather than eight a core, and give large blocks back when they are freed.

    With a thread a call, each arena would keep the largest pictures that its threads have held; and one is enough
    where nearly all that is taken is taken under the interpreter's lock.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_ARENA_MAX, 1)
    mallopt(_M_MMAP_THRESHOLD, 4 * 1024 * 1024)
    mallopt(_M_TRIM_THRESHOLD, 4 * 1024 * 1024)


def collect_rarely() -> None:
    """Has Python look for cycles after more work, and not among what is there by now, which stays for good.

    A job leaves no cycles of any size; with Python's own 700 the looks take a tenth of its CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def give_back() -> None:
    """Gives all that is free to the system, after work that took much more than usual."""
    gc.collect()
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return
    trim(0)
