"""What a batch is told to do, and what it tells of each case."""

import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from strokeseg._version import __version__
from strokeseg.cohort.cases.case import Case
from strokeseg.files.checksums import sha256
from strokeseg.models.finding import find_model
from strokeseg.models.folder import CONFIG_FILE
from strokeseg.models.loading import Hardware
from strokeseg.prediction.options import Options
from strokeseg.prediction.parts import check_parts
from strokeseg.results.output_names import DEFAULT_KINDS, OutputNames

Status = Literal["done", "skipped", "failed", "busy"]


@dataclass(frozen=True)
class ModelPrint:
    """What tells one model from another: the checksums of its weights and of its config."""

    sha256: str
    config_sha256: str


@dataclass(frozen=True)
class BatchJob:
    """All that a process needs to know to do any case of a batch, small enough to be sent about.

    Parameters
    ----------
    output
        The cohort's output folder, an absolute path.
    models
        Names of the models, as `strokeseg.load_model` takes them; the default one if empty.
    hardware, options, offline
        As for `strokeseg.predict`.
    kinds
        Which results to save, see `strokeseg.results.output_names.KINDS`.
    anonymise
        Whether results, and what is said, name no file that they were made from.
    save_format
        What mask and maps are written as beside NIfTI: nrrd, mha, or input.
    as_dicom
        Whether masks of cases that came as DICOM are written as DICOM SEG, too.
    resume
        Whether cases whose results are there, whole and made the same way are skipped.
    prints
        The models that `models` led to when the batch began.
    shared
        Folders of results (`Case.folder`) that several cases have in common.
    run
        Names this run; the same in every process of it.
    version
        The version of strokeseg that all of them must be of.
    """

    output: Path
    models: tuple[str, ...] = ()
    hardware: Hardware = field(default_factory=Hardware)
    options: Options = field(default_factory=Options)
    kinds: frozenset[str] = DEFAULT_KINDS
    offline: bool = False
    anonymise: bool = False
    save_format: str = "nifti"
    as_dicom: bool = False
    resume: bool = True
    prints: tuple[ModelPrint, ...] = ()
    shared: frozenset[str] = frozenset()
    run: str = field(default_factory=lambda: secrets.token_hex(8))
    version: str = __version__

    def names(self, case: Case) -> OutputNames:
        """Name every file that a case can have."""
        return OutputNames.for_prefix(self.output / case.folder, case.prefix)


@dataclass(frozen=True)
class Outcome:
    """How one case ended.

    Parameters
    ----------
    case
        Its name.
    status
        done; skipped, as its results were there and right; failed; or busy, as another run is at
        it now.
    message
        Why it failed, who is at it, or why it was done again.
    exit_code
        0, or that of the error.
    seconds
        Spent on it.
    """

    case: str
    status: Status
    message: str = ""
    exit_code: int = 0
    seconds: float = 0.0

    def as_record(self) -> dict[str, Any]:
        """Give it as plain values."""
        return asdict(self)


class Listener(Protocol):
    """Hears how a batch gets on, from any thread."""

    def on_stage(self, case: str, stage: str) -> None:
        """Hear that a case has come to a stage: read, segment flair, save."""

    def on_outcome(self, outcome: Outcome) -> None:
        """Hear that a case has ended."""

    def on_notice(self, text: str) -> None:
        """Hear of something that concerns no single case."""


class Silent:
    """The `Listener` that says nothing."""

    def on_stage(self, case: str, stage: str) -> None:
        """Do nothing."""

    def on_outcome(self, outcome: Outcome) -> None:
        """Do nothing."""

    def on_notice(self, text: str) -> None:
        """Do nothing."""


def with_models(job: BatchJob, hear: Listener) -> BatchJob:
    """Find a job's models, fetch what is not here, check their files, and take their checksums.

    Models that are folders get absolute paths, as workers may run elsewhere. No engine is opened,
    so that a batch with nothing to do ends at once.

    Raises
    ------
    UsageError
        Parts are to be saved, and the models tell none.
    StrokesegError
        As `strokeseg.load_model` does.
    """
    names, prints, models = [], [], []
    for name in job.models or (None,):
        found = find_model(name, offline=job.offline, say=hear.on_notice)
        models.append(found.read())
        prints.append(print_of(found.folder, models[-1].sha256))
        if name is not None:
            names.append(str(found.folder.absolute()) if found.origin == "folder" else name)
    check_parts(models, job.options)
    return replace(job, models=tuple(names), prints=tuple(prints))


def print_of(folder: Path, weights_sha256: str) -> ModelPrint:
    """Make the print of a model that was read from a folder."""
    return ModelPrint(weights_sha256, sha256(folder / CONFIG_FILE))


def shared_folders(cases: Iterable[Case]) -> frozenset[str]:
    """Find the folders that several cases write to."""
    folders = Counter(case.folder for case in cases)
    return frozenset(folder for folder, count in folders.items() if count > 1)
