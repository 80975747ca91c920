"""One case after the other by one process: check, read, predict, save; a failure costs one case."""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256 as hash_of
from pathlib import Path

from strokeseg._version import __version__
from strokeseg.cohort.batch.case_scans import read_case
from strokeseg.cohort.batch.claims import Claims
from strokeseg.cohort.batch.failure import file_failure
from strokeseg.cohort.batch.job import BatchJob, Listener, Outcome, Silent, print_of
from strokeseg.cohort.batch.resume import (
    NEW,
    ResumeCheck,
    amend_truth,
    check_inside,
    checked_names,
    describe_more,
    for_kinds,
    look_at,
    remove_leftovers,
)
from strokeseg.cohort.cases.case import Case
from strokeseg.errors import (
    DataError,
    EngineError,
    InputNotFoundError,
    Interrupted,
    StrokesegError,
)
from strokeseg.images.reading import Volume
from strokeseg.machine import at_most
from strokeseg.models.loading import LoadedModel, ensemble_of, load_model
from strokeseg.prediction.pipeline import predict
from strokeseg.results.archive import error_path
from strokeseg.results.dicom_seg import dicom_of, save_seg, seg_path
from strokeseg.results.record import Record
from strokeseg.results.result import Result


@dataclass(frozen=True, eq=False)
class Ready:
    """A case whose scans are read; where memory is limited, only their headers are, and later."""

    case: Case
    images: Mapping[str, Volume | Path]
    look: ResumeCheck
    seconds: float


@dataclass(frozen=True, eq=False)
class Segmented:
    """A case whose result is not saved yet."""

    case: Case
    result: Result
    look: ResumeCheck
    seconds: float


class Worker:
    """Does the cases of one job. `prepare`, `segment` and `save` may run in a thread each.

    Parameters
    ----------
    job : BatchJob
        What to do.
    hear : Listener
        Hears of stages.
    should_stop : callable
        Asked after each pass of the network; True ends the case with `Interrupted`.
    """

    def __init__(
        self,
        job: BatchJob,
        hear: Listener | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.job = job
        self._hear = hear or Silent()
        self._should_stop = should_stop
        self._claims = Claims(job.output, job.run, anonymous=job.anonymise)
        self._models: list[LoadedModel] | None = None

    def open(self, models: list[LoadedModel] | None = None) -> list[LoadedModel]:
        """Load the models, or take loaded ones, unless that was done before.

        Raises
        ------
        StrokesegError
            A model is not here or another than the batch began with, or has no engine.
        """
        if self._models is None:
            self._models = models or load_models(self.job, self._hear)
        return self._models

    @property
    def loaded(self) -> list[LoadedModel] | None:
        """The models, once they are loaded."""
        return self._models

    def run(self, case: Case) -> Outcome:
        """Do one case from start to end."""
        ready = self.prepare(case)
        if isinstance(ready, Outcome):
            return ready
        segmented = self.segment(ready)
        return segmented if isinstance(segmented, Outcome) else self.save(segmented)

    def prepare(self, case: Case) -> Ready | Outcome:
        """Claim a case, see whether it has to be done, and read its scans."""
        started = time.perf_counter()
        self._hear.on_stage(case.name, "read")
        try:
            names = checked_names(case, self.job)
            holder = self._claims.take(_key(case))
            if holder is not None:
                return Outcome(case.name, "busy", f"{holder} is at it")
            remove_leftovers(names, shared=case.folder in self.job.shared)
            look = look_at(case, self.job)
            if look.reason is None:
                amend_truth(case, names)
                error_path(names).unlink(missing_ok=True)
                self._claims.release(_key(case))
                return Outcome(case.name, "skipped")
            whole = self.job.hardware.max_memory_bytes is None
            with at_most(self.job.hardware.threads):
                images = read_case(case, self.job.options, whole=whole)
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs this case alone
            return self._fail(case, error, time.perf_counter() - started)
        return Ready(case, images, look, time.perf_counter() - started)

    def segment(self, ready: Ready) -> Segmented | Outcome:
        """Run the network.

        Raises
        ------
        StrokesegError
            The models cannot be opened, which concerns every case, or the work was stopped.
        """
        case, started = ready.case, time.perf_counter()
        try:
            models = self.open()
        except BaseException:
            self._claims.release(_key(case))
            raise
        try:
            result = predict(
                ready.images,
                model=models,
                options=for_kinds(self.job, ready.look.kinds).options,
                progress=_CaseProgress(case.name, self._hear, self._should_stop),
            )
            _check_unchanged(result, ready.look)
            record = describe_more(Record.read(result.record), case, self.job, ready.look)
            seconds = dict(record.seconds or {})
            seconds["read"] = ready.seconds + seconds.get("read", 0.0)
            record = replace(record, seconds=seconds)
        except Interrupted:
            self._claims.release(_key(case))
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs this case alone
            return self._fail(case, error, ready.seconds + time.perf_counter() - started)
        spent = ready.seconds + time.perf_counter() - started
        return Segmented(case, replace(result, record=record.write()), ready.look, spent)

    def save(self, segmented: Segmented) -> Outcome:
        """Write the results, and take away the error file of an earlier try."""
        case, started = segmented.case, time.perf_counter()
        self._hear.on_stage(case.name, "save")
        names = self.job.names(case)
        try:
            with at_most(self.job.hardware.threads):
                segmented.result.save(
                    names.directory,
                    prefix=case.prefix,
                    kinds=segmented.look.kinds,
                    overwrite=True,
                    sources=case.sources or None,
                    anonymise=self.job.anonymise,
                    endings=segmented.look.endings,
                )
            self._save_seg(segmented)
            error_path(names).unlink(missing_ok=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs this case alone
            return self._fail(case, error, segmented.seconds + time.perf_counter() - started)
        self._claims.release(_key(case))
        seconds = segmented.seconds + time.perf_counter() - started
        again = "" if segmented.look.reason in (None, NEW) else f"again: {segmented.look.reason}"
        return Outcome(case.name, "done", again, 0, seconds)

    def _save_seg(self, done: Segmented) -> None:
        record, result = Record.read(done.result.record), done.result
        source = dicom_of(done.case.images, record.reference) if done.look.seg else None
        if source is not None:
            models = [model.name for model in record.models]
            save_seg(seg_path(self.job.names(done.case)), result.mask, result.grid, source, models)

    def give_up(self, case: Case, error: Exception) -> Outcome:
        """File a case as failed whose processes of this run died, and remove what they left."""
        names = self.job.names(case)
        with suppress(StrokesegError):  # where nothing can be written, the outcome says so
            check_inside(names, self.job.output)
            if self._claims.take(_key(case)) is None:
                remove_leftovers(names, shared=case.folder in self.job.shared)
        return self._fail(case, error, 0.0)

    def close(self) -> None:
        """Give up every claim."""
        self._claims.close()

    def _fail(self, case: Case, error: Exception, seconds: float) -> Outcome:
        outcome = file_failure(case, self.job, error, seconds)
        self._claims.release(_key(case))
        return outcome


def load_models(job: BatchJob, hear: Listener) -> list[LoadedModel]:
    """Load a job's models and check that they are the ones that the batch began with.

    Raises
    ------
    EngineError
        This process has another strokeseg or other models, or there is no engine.
    StrokesegError
        A model cannot be had or read.
    """
    if job.version != __version__:
        raise EngineError(
            f"strokeseg is {__version__} here and {job.version} where the batch began: install the "
            "same version everywhere"
        )
    models = [
        load_model(name, job.hardware, offline=job.offline, say=hear.on_notice)
        for name in job.models or (None,)
    ]
    ensemble_of(models)
    prints = tuple(print_of(m.model.folder, m.model.sha256) for m in models)
    if prints != job.prints:
        named = ", ".join(m.model.name for m in models)
        raise EngineError(f"the files of {named} are others than when the batch began; start again")
    return models


class _CaseProgress:
    """Passes the stages of one prediction on, and stops it where that is wanted."""

    def __init__(self, case: str, hear: Listener, should_stop: Callable[[], bool]) -> None:
        self._case = case
        self._hear = hear
        self._should_stop = should_stop

    def on_stage(self, name: str, windows: int = 0) -> None:  # noqa: ARG002 - part of the protocol
        """Pass a stage on; the scans and the model have been read before."""
        if name not in ("read", "load model"):
            self._hear.on_stage(self._case, name)

    def on_note(self, text: str) -> None:
        """Do nothing: what was chosen is in the record."""

    def on_window(self) -> None:
        """Stop, if that is wanted."""
        if self._should_stop():
            raise Interrupted(f"{self._case}: stopped; nothing of it was written")


def _check_unchanged(result: Result, look: ResumeCheck) -> None:
    """Refuse a result whose inputs are no longer those that were read."""
    for name, found in Record.read(result.record).inputs.items():
        if found.sha256 is None:
            raise InputNotFoundError(
                f"{found.path}: vanished while it was being segmented; put it back and run this "
                "case again"
            )
        if found.sha256 != look.digests[name]:
            raise DataError(
                f"{found.path} was changed while it was being segmented; run this case again"
            )


def _key(case: Case) -> str:
    """Name a case's claim: the start of its file names, and what tells folders apart."""
    digest = hash_of(f"{case.folder}/{case.prefix}".encode()).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9_-]', '-', case.prefix)[:100]}-{digest[:12]}"
