"""The usage of processes, by /proc: CPU time, memory, threads and sockets of a process and its descendants."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """Seconds of CPU (user and system, ended children included), bytes of memory, and counts."""

    cpu: float = 0.0
    rss: int = 0
    processes: int = 0
    threads: int = 0
    sockets: int = 0


def tree(pid: int) -> list[int]:
    """The ids of a process and its descendants."""
    pids, waiting = [], [pid]
    while waiting:
        parent = waiting.pop()
        pids.append(parent)
        try:
            tasks = list(Path(f"/proc/{parent}/task").iterdir())
            for task in tasks:
                waiting += map(int, (task / "children").read_text().split())
        except OSError:
            continue  # it has ended
    return pids


def usage(pid: int, *, sockets: bool = False) -> Usage:
    """The usage of a process and its descendants together."""
    cpu, rss, processes, threads, open_sockets = 0.0, 0, 0, 0, 0
    for process in tree(pid):
        try:
            stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            rss += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
        except OSError:
            continue  # it has ended
        cpu += sum(map(int, stat[11:15])) / _TICK
        processes += 1
        threads += int(stat[17])
        open_sockets += _sockets(process) if sockets else 0
    return Usage(cpu, rss, processes, threads, open_sockets)


def _sockets(pid: int) -> int:
    count = 0
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                count += str(entry.readlink()).startswith("socket:")
            except OSError:
                continue  # closed meanwhile
    except OSError:
        return 0
    return count


@dataclass
class Peak(threading.Thread):
    """Samples the memory of processes while something runs, and keeps the highest."""

    pid: int
    every: float = 0.5
    rss: int = 0
    processes: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        """Samples until it is stopped."""
        while not self.over.wait(self.every):
            now = usage(self.pid)
            self.rss, self.processes = max(self.rss, now.rss), max(self.processes, now.processes)

    def stop(self) -> None:
        """Stops sampling."""
        self.over.set()
        self.join()
