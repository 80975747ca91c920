"""How much memory this process holds, has held and may still take; sizes as people write them."""

import os
import re
import sys
from pathlib import Path

from strokeseg.errors import UsageError

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_STATM = Path("/proc/self/statm")
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(?:([KMGT])(i?)B?|B)", re.IGNORECASE | re.ASCII)


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
