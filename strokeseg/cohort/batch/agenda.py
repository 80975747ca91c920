"""The cases of a batch that are still to do, and those that another run is at."""

import time
from collections import deque
from collections.abc import Iterable

from strokeseg.cohort.batch.job import Listener
from strokeseg.cohort.cases.case import Case

_PAUSE_S = 2.0


class CaseQueue:
    """Hands out cases in order; those that were busy come back at the end, after a pause.

    Parameters
    ----------
    cases : iterable of Case
        What to do.
    hear : Listener
        Is told once of each case that has to wait.
    """

    def __init__(self, cases: Iterable[Case], hear: Listener) -> None:
        self._fresh = deque(cases)
        self._later: deque[tuple[float, Case]] = deque()
        self._told: set[str] = set()
        self._hear = hear

    def __len__(self) -> int:
        """Count the cases that are not handed out."""
        return len(self._fresh) + len(self._later)

    def take(self) -> Case | None:
        """Give the next case; None where there is none, or none whose pause is over."""
        if self._fresh:
            return self._fresh.popleft()
        if self._later and self._later[0][0] <= time.monotonic():
            return self._later.popleft()[1]
        return None

    def put_back(self, case: Case) -> None:
        """Take a case back that has to be done somewhere else, before all others."""
        self._fresh.appendleft(case)

    def defer(self, case: Case, reason: str) -> None:
        """Take a busy case back, to be looked at again later."""
        self._hear.on_stage(case.name, "waiting")
        if case.name not in self._told:
            self._told.add(case.name)
            self._hear.on_notice(f"{case.name}: {reason}; looking again later")
        self._later.append((time.monotonic() + _PAUSE_S, case))
