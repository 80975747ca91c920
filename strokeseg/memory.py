"""How much memory this process may still take."""

import os
import sys
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


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


def peak_memory_bytes() -> int | None:
    """Find the most memory that this process has held at once; None where that is not known."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
