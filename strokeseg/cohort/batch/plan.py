"""What a batch would do: which cases are done, which are to be done, and why again."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from strokeseg.cohort.batch.job import BatchJob, Silent, with_models
from strokeseg.cohort.batch.resume import look_at
from strokeseg.cohort.cases.case import Case
from strokeseg.errors import DataError, StrokesegError, UsageError
from strokeseg.images.diffusion_series import find_bvals
from strokeseg.images.file_names import is_image_name, without_ending
from strokeseg.images.modalities import choose_reference, order_modalities
from strokeseg.images.reading import outline
from strokeseg.models.loading import check_hardware, check_roles, models_here
from strokeseg.prediction.parts import check_parts

DONE = "done"
TO_DO = "to do"
CANNOT = "cannot be done"
_OF_SERIES = ("dwi", "adc")


def check_models(job: BatchJob, *, here: bool) -> None:
    """Refuse what the batch would refuse of its models and of where they run; nothing is fetched.

    Parameters
    ----------
    job
        What it would do.
    here
        Whether the cases would run on this machine.

    Raises
    ------
    StrokesegError
        The batch would not begin.
    """
    models = models_here(job.models or (None,), offline=job.offline)
    if models is not None:
        check_roles(models)
        check_parts(models, job.options)
    if here:
        check_hardware(models or (), job.hardware, job.options.stages)


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
    fault = _fault_of(case, job)
    if fault is not None:
        return f"{CANNOT}: {fault}"
    if not job.names(case).record.exists():
        return TO_DO
    try:
        reason = look_at(case, job).reason
    except StrokesegError as error:
        reason = str(error)
    return DONE if reason is None else f"{TO_DO} again: {reason}"


def _fault_of(case: Case, job: BatchJob) -> str | None:
    """Say why a case would fail, as far as headers tell; DICOM and series are not looked into."""
    try:
        reference = choose_reference(order_modalities(case.images), job.options.reference)
    except UsageError as error:
        return str(error)
    for name, path in case.images.items():
        if not is_image_name(path.name) or (name in _OF_SERIES and _is_told(path)):
            continue
        try:
            outline(path)
        except DataError as error:
            if name == reference or job.options.strict:
                return str(error)
        except StrokesegError as error:
            return str(error)
    return None


def _is_told(path: Path) -> bool:
    """Tell whether something says of many volumes what they are."""
    sidecar = path.with_name(f"{without_ending(path.name)}.json")
    return find_bvals(path) is not None or sidecar.is_file()
