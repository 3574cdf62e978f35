"""How a process returns memory: settings of glibc's allocator and of Python's garbage collector."""

from __future__ import annotations

import ctypes
import gc

#: Of malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def hold_little() -> None:
    """Has the allocator use one arena rather than eight a core, and release large blocks when they are freed.

    With a thread a call, each arena would keep the largest pictures that its threads have held. One is enough, since
    nearly all memory is allocated under the interpreter's lock.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_ARENA_MAX, 1)
    mallopt(_M_MMAP_THRESHOLD, 4 * 1024 * 1024)
    mallopt(_M_TRIM_THRESHOLD, 4 * 1024 * 1024)


def collect_rarely() -> None:
    """Has Python collect cycles less often, and never among the objects that exist by now.

    A job leaves no large cycles; with Python's own threshold of 700, collections take a tenth of its CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def return_memory() -> None:
    """Returns all free memory to the system, after work that took much more than usual."""
    gc.collect()
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return
    trim(0)
