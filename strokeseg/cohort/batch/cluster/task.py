"""What a Dask worker does: one case per task, with models that it keeps from task to task."""

import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import replace

from strokeseg.cohort.batch.job import BatchJob, Outcome
from strokeseg.cohort.batch.worker import Worker
from strokeseg.cohort.cases.case import Case
from strokeseg.models.loading import LoadedModel

# One case of a worker is in its network while another is read or saved, however many threads the
# worker has: memory does not grow with them.
ROOM = 2
_RUNS_KEPT = 2

_room = threading.Semaphore(ROOM)
_network = threading.Lock()
# Where memory is limited, one case is in it.
_alone = threading.Lock()
_lock = threading.Lock()
_workers: OrderedDict[str, Worker] = OrderedDict()
_stopped: set[str] = set()


def run_task(job: BatchJob, case: Case) -> Outcome:
    """Do one case on a Dask worker; failures of the case are in the outcome.

    Raises
    ------
    StrokesegError
        This worker is fit for no case: it has other models or another strokeseg, or no engine.
    """
    worker = _worker_for(job)
    if job.hardware.max_memory_bytes is not None:
        with _alone:
            return worker.run(case)
    with _room:
        ready = worker.prepare(case)
        if isinstance(ready, Outcome):
            return ready
        with _network:
            segmented = worker.segment(ready)
        del ready
        return segmented if isinstance(segmented, Outcome) else worker.save(segmented)


async def stop_run(run: str) -> None:
    """End what this worker does for a run after the next pass of the network.

    Not a plain function, as Dask sends only those that are awaited without waiting itself.
    """
    _stopped.add(run)


def topic_of(job: BatchJob) -> str:
    """Name the events by which the workers of a run tell of stages."""
    return f"strokeseg-{job.run}"


def _worker_for(job: BatchJob) -> Worker:
    """Find what is kept for a run; an earlier run with the same models hands them on."""
    from distributed import get_worker

    if job.hardware.threads is None:
        hardware = replace(job.hardware, threads=get_worker().state.nthreads)
        job = replace(job, hardware=hardware)
    with _lock:
        if job.run not in _workers:
            worker = Worker(job, _EventListener(topic_of(job)), lambda: job.run in _stopped)
            models = _loaded_before(job)
            if models is not None:
                worker.open(models)
            _workers[job.run] = worker
            while len(_workers) > _RUNS_KEPT:
                _workers.popitem(last=False)
        return _workers[job.run]


def _loaded_before(job: BatchJob) -> list[LoadedModel] | None:
    for worker in _workers.values():
        other = worker.job
        if (other.prints, other.hardware, other.version) == (job.prints, job.hardware, job.version):
            return worker.loaded
    return None


class _EventListener:
    """Tells the stages of a case to the process that started the batch."""

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def on_stage(self, case: str, stage: str) -> None:
        """Send a stage, from the task's own thread."""
        from distributed import get_worker

        with suppress(ValueError, OSError):  # no worker any more: nobody listens
            get_worker().log_event(self._topic, [case, stage])

    def on_outcome(self, outcome: Outcome) -> None:
        """Do nothing: the outcome is what the task returns."""

    def on_notice(self, text: str) -> None:
        """Do nothing: it is about this worker's own model."""
