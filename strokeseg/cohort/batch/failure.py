"""A case that failed: the file that says why, so that the others can go on."""

import traceback
from datetime import UTC, datetime
from typing import Any

from strokeseg._version import __version__
from strokeseg.cohort.batch.job import BatchJob, Outcome
from strokeseg.cohort.batch.resume import check_inside
from strokeseg.cohort.cases.case import Case
from strokeseg.errors import StrokesegError
from strokeseg.files.json_files import write_json
from strokeseg.results.anonymous import Redactor
from strokeseg.results.archive import error_path
from strokeseg.results.record import SCHEMA


def file_failure(case: Case, job: BatchJob, error: Exception, seconds: float) -> Outcome:
    """Write a case's error file and give its outcome, which tells if even that was not possible.

    Results of an earlier run stay as they are.
    """
    message, exit_code = describe_error(error)
    veil = Redactor.over({**case.images, **case.further}, job.output) if job.anonymise else str
    message = veil(message)
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "strokeseg": __version__,
        "case": case.name,
        "exception": type(error).__name__,
        "message": message,
        "exit_code": exit_code,
        "inputs": {name: str(path) for name, path in case.images.items()},
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if job.anonymise:
        content |= {"inputs": dict.fromkeys(case.images), "anonymised": True}
    elif not isinstance(error, StrokesegError):
        content["traceback"] = "".join(traceback.format_exception(error))
    try:
        check_inside(job.names(case), job.output)
        path = error_path(job.names(case))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, content)
    except (StrokesegError, OSError) as second:
        message += f"; its error file could not be written ({veil(str(second))})"
    return Outcome(case.name, "failed", message, exit_code, seconds)


def describe_error(error: Exception) -> tuple[str, int]:
    """Say an error in one line, with the exit code that it would have alone."""
    if isinstance(error, StrokesegError):
        return str(error), error.exit_code
    if isinstance(error, MemoryError):
        advice = "close other programs, or try --max-memory, a smaller --window or fewer --jobs"
        return f"out of memory: {advice}", 1
    said = " ".join(str(error).split())
    fault = StrokesegError(f"a fault of ours: {type(error).__name__}: {said}; please report it")
    return str(fault), fault.exit_code
