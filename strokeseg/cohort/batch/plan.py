"""What a batch would do: which cases are done, which are to be done, and why again."""

from collections.abc import Sequence
from dataclasses import replace

from strokeseg.cohort.batch.job import BatchJob, Silent, with_models
from strokeseg.cohort.batch.resume import look_at
from strokeseg.cohort.cases.case import Case
from strokeseg.errors import StrokesegError

DONE = "done"
TO_DO = "to do"
CANNOT = "cannot be done"


def states_of(cases: Sequence[Case], job: BatchJob) -> tuple[str, ...]:
    """Say of each case whether its results are there, whole and made as they would be now.

    Nothing is written, fetched or opened with an engine. A case that has a record costs reading its
    scans once, for their checksums.

    Parameters
    ----------
    cases
        As the batch would have them.
    job
        What it would do; `prints` are found here.

    Returns
    -------
    tuple of str
        `DONE`, `TO_DO`, `CANNOT`, or `TO_DO` with the reason why a case is to be done again.
    """
    try:
        known = with_models(replace(job, offline=True), Silent())
    except StrokesegError:  # it would be fetched, so no result here is of it
        known = job
    return tuple(_state(case, known) for case in cases)


def _state(case: Case, job: BatchJob) -> str:
    if case.fault is not None:
        return CANNOT
    if not job.names(case).record.exists():
        return TO_DO
    try:
        reason = look_at(case, job).reason
    except StrokesegError as error:
        reason = str(error)
    return DONE if reason is None else f"{TO_DO} again: {reason}"
