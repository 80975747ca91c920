"""What this machine gives, and how much of it may be taken: memory, threads, living processes.

`--max-memory` and `--threads` mean the limits here. Memory is what this process holds, has held
and may still take; threads are those of the work around the network.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

from strokeseg.errors import UsageError

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_STATM = Path("/proc/self/statm")
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(?:([KMGT])(i?)B?|B)", re.IGNORECASE | re.ASCII)

_Task = TypeVar("_Task")
_Done = TypeVar("_Done")

# Copying and resampling are bound by memory; more threads than these gain nothing.
MOST = 4
_limit: ContextVar[int | None] = ContextVar("strokeseg_threads", default=None)


def available_memory_bytes() -> int | None:
    """Find how much memory can be had without swapping; None where the system does not say.

    On Linux the least of what the machine has available and what a container's limit (cgroup 2)
    leaves; elsewhere the physical memory.
    """
    found = [size for size in (_machine_bytes(), _container_bytes()) if size is not None]
    return min(found) if found else _physical_bytes()


def _machine_bytes() -> int | None:
    """Read what Linux calls MemAvailable."""
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _container_bytes() -> int | None:
    """Read what the container's memory limit leaves."""
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = (_CGROUP / "memory.current").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return max(0, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else None


def _physical_bytes() -> int | None:
    """All memory of the machine, where sysconf knows it."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def parse_memory(text: str, option: str = "--max-memory") -> int:
    """Read a size: 4G, 500M, 1.5GiB.

    K, M, G and T are powers of 1000, with or without B, and of 1024 with ``iB`` or ``i``: what
    holds 4G holds whatever else may be meant by it.

    Raises
    ------
    UsageError
        If it is no size, or none at all.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{option} is {text!r}: give a size with its unit, as 4G, 500M or 1.5GiB")
    number, unit, binary = match.groups()
    power = " KMGT".index((unit or " ").upper())
    size = int(float(number) * (1024 if binary else 1000) ** power)
    if size < 1:
        raise UsageError(f"{option} is {text!r}: give more than nothing, as 4G")
    return size


def resident_bytes() -> int | None:
    """Find how much memory this process holds now; None where the system does not say."""
    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_memory_bytes() -> int | None:
    """Find the most memory that this process has held at once; None where that is not known."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def thread_count() -> int:
    """Threads to use here: the limit in force, else the usable cores; at most `MOST`."""
    return min(_limit.get() or usable_cores(), MOST)


def in_threads(work: Callable[[_Task], _Done], tasks: Iterable[_Task]) -> list[_Done]:
    """Do a piece of work for every task, in `thread_count` threads; give what came, in order.

    What one of them raises is raised here.
    """
    with ThreadPoolExecutor(thread_count()) as pool:
        return list(pool.map(work, tasks))


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def at_most(threads: int | None) -> Iterator[None]:
    """Hold the threads of everything inside to a limit; None changes nothing."""
    if threads is None:
        yield
        return
    token = _limit.set(threads)
    try:
        yield
    finally:
        _limit.reset(token)


def is_alive(pid: int) -> bool:
    """Tell whether a process of this machine runs, as far as that may be asked."""
    if os.name != "posix":  # where asking would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is somebody else's, or no process can have that number
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Tell whether a process has died and is only kept until its parent asks how."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # there is no such list on this system, or it has just gone from it
        return False
    return status.rpartition(")")[2].split()[:1] == ["Z"]
