"""A batch on a Dask cluster: cases handed to workers, outcomes taken as they end."""

import time
from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from strokeseg.cohort.batch.agenda import CaseQueue
from strokeseg.cohort.batch.cluster.connection import Connection
from strokeseg.cohort.batch.cluster.task import ROOM, run_task, stop_run, topic_of
from strokeseg.cohort.batch.job import BatchJob, Listener, Outcome
from strokeseg.cohort.batch.worker import Worker
from strokeseg.cohort.cases.case import Case
from strokeseg.errors import EngineError, StrokesegError

if TYPE_CHECKING:
    from distributed import Future

_REFRESH_S = 5.0
_GLANCE_S = 1.0
_GOODBYE_S = 20.0
_LOSSES = 5


def run_on_dask(
    agenda: CaseQueue,
    job: BatchJob,
    hear: Listener,
    *,
    address: str | None = None,
    slurm: Mapping[str, str] | None = None,
) -> Generator[Outcome]:
    """Do the cases on the workers of a Dask scheduler, or of one that SLURM is asked for.

    The cases of a worker that dies run again elsewhere. A case that several workers died of is
    done once more, alone on its worker, then filed as failed.

    Raises
    ------
    EngineError
        Dask is not installed, its scheduler does not answer or has gone, or no worker is fit.
    """
    with Connection.open(job, hear, address=address, slurm=slurm) as connection:
        drive = _Drive(connection, agenda, job, hear)
        try:
            yield from drive.outcomes()
        finally:
            drive.stop()


@dataclass(frozen=True)
class _Task:
    """A case that was handed to a worker, and how much of its room it takes.

    Where the address is None, no worker was known, and Dask chooses.
    """

    case: Case
    address: str | None
    room: int


class _Drive:
    """Hands out cases so that every worker has enough to do and no more than it has room for."""

    def __init__(
        self, connection: Connection, agenda: CaseQueue, job: BatchJob, hear: Listener
    ) -> None:
        self._connection = connection
        self._agenda = agenda
        self._job = job
        self._hear = hear
        self._running: dict[Future[Outcome], _Task] = {}
        self._alone: deque[Case] = deque()
        self._killed: set[str] = set()
        self._lost: Counter[str] = Counter()
        self._unfit: dict[str, str] = {}
        self._workers: tuple[str, ...] = ()
        self._looked = -_REFRESH_S
        self._waiting = False
        self._count = 0
        connection.client.subscribe_topic(topic_of(job), self._on_event)

    def outcomes(self) -> Iterator[Outcome]:
        """Give every outcome as its case ends."""
        while len(self._agenda) or self._alone or self._running:
            self._look_for_workers()
            self._hand_out()
            if not self._running:
                time.sleep(_GLANCE_S)
            for future in self._ended():
                task = self._running.pop(future)
                outcome = self._outcome_of(future, task)
                if outcome is None:
                    continue
                if outcome.status == "busy":
                    self._agenda.defer(task.case, outcome.message)
                else:
                    yield outcome

    def stop(self) -> None:
        """Take back what has not begun, and wait a little for what has."""
        client, futures = self._connection.client, list(self._running)
        self._running.clear()
        with suppress(Exception):  # whatever is broken there, it is left behind now
            client.unsubscribe_topic(topic_of(self._job))
            if not futures:
                return
            if self._workers:
                client.run(stop_run, self._job.run, wait=False)
                self._connection.wait(futures, _GOODBYE_S)
            client.cancel(futures)

    def _look_for_workers(self) -> None:
        if time.monotonic() - self._looked < _REFRESH_S and self._workers:
            return
        self._looked = time.monotonic()
        workers = self._connection.workers()
        if not workers and not self._waiting:
            self._hear.on_notice(f"waiting for workers of {self._connection.name}")
        self._waiting = not workers
        self._workers = tuple(w for w in workers if w not in self._unfit)
        if workers and not self._workers:
            raise EngineError(next(iter(self._unfit.values())))

    def _hand_out(self) -> None:
        if not self._workers and not self._running and (case := self._agenda.take()) is not None:
            # A cluster that starts workers by need has to see a need.
            self._submit(case, None, 1)
        while self._alone and (address := self._free(ROOM)) is not None:
            self._submit(self._alone.popleft(), address, ROOM)
        while (address := self._free(1)) is not None and (case := self._agenda.take()) is not None:
            self._submit(case, address, 1)

    def _free(self, room: int) -> str | None:
        """Give the worker with the least to do, if it has the room."""
        used = dict.fromkeys(self._workers, 0)
        for task in self._running.values():
            if task.address in used:
                used[task.address] += task.room
        address = min(used, key=lambda address: used[address], default=None)
        return address if address is not None and used[address] + room <= ROOM else None

    def _submit(self, case: Case, address: str | None, room: int) -> None:
        self._count += 1
        future = self._connection.client.submit(
            run_task,
            self._job,
            case,
            key=f"strokeseg-{self._job.run}-{self._count}",
            pure=False,
            workers=None if address is None else [address],
            allow_other_workers=address is not None,
        )
        self._running[future] = _Task(case, address, room)

    def _ended(self) -> list["Future[Outcome]"]:
        """Wait a moment for a case to end."""
        self._connection.wait(list(self._running), _GLANCE_S, first=True)
        self._connection.check()
        return [future for future in self._running if future.status != "pending"]

    def _outcome_of(self, future: "Future[Outcome]", task: _Task) -> Outcome | None:
        """Take what a task ended with; None if the case has to be done again."""
        if future.status == "finished":
            outcome: Outcome = future.result()
            return outcome
        case = task.case
        error = future.exception() if future.status == "error" else None
        if error is not None and type(error).__name__ == "KilledWorker":
            if case.name in self._killed:
                return Worker(self._job).give_up(case, _death())
            self._killed.add(case.name)
            self._hear.on_notice(f"{case.name}: several workers died while at it; once more, alone")
            self._alone.append(case)
        elif error is not None:
            said = str(error) if isinstance(error, StrokesegError) else _foreign(error)
            self._do_without(task.address, said)
            self._agenda.put_back(case)
        else:
            self._lost[case.name] += 1
            if self._lost[case.name] > _LOSSES:
                raise EngineError(f"{self._connection.name} loses {case.name} again and again")
            self._agenda.put_back(case)
        return None

    def _do_without(self, address: str | None, why: str) -> None:
        """Give a worker that is fit for no case no more of them."""
        if address is None:  # whichever it was, it will be known by its address next time
            return
        self._unfit[address] = f"worker {address}: {why}"
        self._hear.on_notice(f"worker {address} gets no more cases: {why}")
        self._workers = tuple(worker for worker in self._workers if worker != address)

    def _on_event(self, event: tuple[float, object]) -> None:
        match event[1]:
            case [str(name), str(stage)]:
                self._hear.on_stage(name, stage)


def _death() -> EngineError:
    return EngineError(
        "every worker that was at it died, likely for want of memory: give workers more memory, or "
        "try a smaller --window"
    )


def _foreign(error: BaseException) -> str:
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}; strokeseg has to be installed where the worker runs"
