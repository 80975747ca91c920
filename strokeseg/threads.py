"""How many threads the work around the network may use: what `--threads` says, everywhere."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# Copying and resampling are bound by memory; more threads than these gain nothing.
MOST = 4

_limit: ContextVar[int | None] = ContextVar("strokeseg_threads", default=None)


def thread_count() -> int:
    """Threads to use here: the limit in force, else the usable cores; at most `MOST`."""
    return min(_limit.get() or usable_cores(), MOST)


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
