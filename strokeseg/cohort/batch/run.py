"""A batch: its cases here, in processes or on a cluster; one outcome each; tables at the end."""

import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from strokeseg.cohort.batch.agenda import CaseQueue
from strokeseg.cohort.batch.claims import Claims
from strokeseg.cohort.batch.job import BatchJob, Listener, Outcome, shared_folders, with_models
from strokeseg.cohort.batch.processes import run_in_processes
from strokeseg.cohort.batch.worker import Ready, Worker
from strokeseg.cohort.cases.case import Case
from strokeseg.cohort.cases.pseudonyms import check_unnamed
from strokeseg.errors import Interrupted, UsageError
from strokeseg.files.targets import check_outputs
from strokeseg.phrases import counted
from strokeseg.results.archive import COHORT_TABLE, LESION_TABLE

_GLANCE_S = 0.2


@dataclass(frozen=True)
class Runner:
    """Where the cases run: here in one process or several, or on a cluster.

    Parameters
    ----------
    jobs
        Processes of this machine, each with a model of its own.
    dask
        Address of a Dask scheduler.
    slurm
        What to ask SLURM for, see `strokeseg.cohort.batch.cluster.slurm.parse_slurm`.

    Raises
    ------
    UsageError
        If they contradict each other.
    """

    jobs: int = 1
    dask: str | None = None
    slurm: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        """Check that there is one place."""
        if self.jobs < 1:
            raise UsageError(f"--jobs is {self.jobs}: give 1 or more")
        given = [
            name
            for name, is_given in (
                ("--jobs", self.jobs > 1),
                ("--dask", self.dask is not None),
                ("--slurm", self.slurm is not None),
            )
            if is_given
        ]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} were given: choose one of them")

    @property
    def is_here(self) -> bool:
        """Whether the cases run on this machine."""
        return self.dask is None and self.slurm is None


def run_cases(
    cases: Sequence[Case], job: BatchJob, place: Runner, hear: Listener
) -> tuple[Outcome, ...]:
    """Do every case; failures are among the outcomes, which come in the order of the cases.

    Raises
    ------
    Interrupted
        By Ctrl-C or SIGTERM; nothing is left half-written, and the same call goes on.
    StrokesegError
        The models cannot be opened, or the cluster is gone.
    """
    outcomes: list[Outcome] = []
    agenda = CaseQueue(cases, hear)
    try:
        with closing(_outcomes(agenda, job, place, hear)) as ended:
            for outcome in ended:
                outcomes.append(outcome)
                hear.on_outcome(outcome)
    except KeyboardInterrupt:
        good = sum(outcome.status in ("done", "skipped") for outcome in outcomes)
        raise Interrupted(
            f"interrupted: {good} of {counted(len(cases), 'case')} done, nothing was left "
            "half-written; the same command goes on from there"
        ) from None
    finally:
        Claims(job.output, job.run, anonymous=job.anonymise).sweep()
    order = {case.name: index for index, case in enumerate(cases)}
    return tuple(sorted(outcomes, key=lambda outcome: order[outcome.case]))


def _outcomes(
    agenda: CaseQueue, job: BatchJob, place: Runner, hear: Listener
) -> Generator[Outcome]:
    if not place.is_here:
        from strokeseg.cohort.batch.cluster.drive import run_on_dask

        return run_on_dask(agenda, job, hear, address=place.dask, slurm=place.slurm)
    if place.jobs > 1:
        return run_in_processes(agenda, job, place.jobs, hear)
    return run_here(agenda, job, hear)


def run_here(agenda: CaseQueue, job: BatchJob, hear: Listener) -> Generator[Outcome]:
    """Do the cases in this process, the next one read and the last one saved meanwhile.

    At most three cases are in memory: one being read, one in the network, one being saved. Where
    memory is limited it is one.
    """
    worker = Worker(job, hear)
    if job.hardware.max_memory_bytes is not None:
        try:
            yield from _one_by_one(agenda, worker)
        finally:
            worker.close()
        return
    reader, writer = ThreadPoolExecutor(1, "read"), ThreadPoolExecutor(1, "save")
    reading: tuple[Case, Future[Ready | Outcome]] | None = None
    saving: Future[Outcome] | None = None
    try:
        while True:
            reading = reading or _read_next(reader, worker, agenda)
            if saving is not None and (reading is None or saving.done()):
                yield saving.result()
                saving = None
            elif reading is not None:
                (case, future), reading = reading, None
                ready = future.result()
                if isinstance(ready, Ready):
                    reading = _read_next(reader, worker, agenda)
                    segmented = worker.segment(ready)
                    del ready, future
                    if saving is not None:
                        yield saving.result()
                        saving = None
                    if isinstance(segmented, Outcome):
                        yield segmented
                    else:
                        saving = writer.submit(worker.save, segmented)
                    del segmented
                elif ready.status == "busy":
                    agenda.defer(case, ready.message)
                else:
                    yield ready
            elif len(agenda):
                time.sleep(_GLANCE_S)
            else:
                return
    finally:
        reader.shutdown(cancel_futures=True)
        writer.shutdown()
        worker.close()


def _one_by_one(agenda: CaseQueue, worker: Worker) -> Generator[Outcome]:
    while len(agenda):
        case = agenda.take()
        if case is None:
            time.sleep(_GLANCE_S)
            continue
        outcome = worker.run(case)
        if outcome.status == "busy":
            agenda.defer(case, outcome.message)
        else:
            yield outcome


def _read_next(
    reader: ThreadPoolExecutor, worker: Worker, agenda: CaseQueue
) -> tuple[Case, Future[Ready | Outcome]] | None:
    case = agenda.take()
    return None if case is None else (case, reader.submit(worker.prepare, case))


def prepare_job(job: BatchJob, cases: Sequence[Case], source: Path, hear: Listener) -> BatchJob:
    """Check, before the first case, that the batch can run; give the job with what was found.

    Parameters
    ----------
    job
        With everything but `prints` and `shared`; models that are folders by any path.
    cases
        What will be done.
    source
        INPUT of the batch.
    hear
        Hears of downloads.

    Raises
    ------
    UsageError
        If results would go into INPUT itself.
    CannotCreateError
        If nothing can be written in the output folder, or an anonymised batch would go beside
        results with names.
    StrokesegError
        If a model cannot be had or read.
    """
    check_job(job, source)
    return replace(with_models(job, hear), shared=shared_folders(cases))


def check_job(job: BatchJob, source: Path) -> None:
    """Check where a batch writes, as far as that can be told without a model.

    Raises
    ------
    UsageError, CannotCreateError
        As `prepare_job` does.
    """
    output = job.output
    if output.exists() and source.exists() and output.samefile(source):
        raise UsageError(f"{output} is INPUT and OUTPUT: give results a folder of their own")
    tables = [output / COHORT_TABLE, output / LESION_TABLE]
    check_outputs(tables, [source] if source.is_file() else [], overwrite=True)
    if job.anonymise:
        check_unnamed(output)
