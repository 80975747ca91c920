"""Whether a case's results are there, whole, and made the way that they would be made now."""

import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256 as hash_of
from pathlib import Path
from typing import Any

from strokeseg.cohort.batch.job import BatchJob
from strokeseg.cohort.cases.case import Case
from strokeseg.errors import CannotCreateError, StrokesegError
from strokeseg.files.checksums import sha256, sha256_of_all
from strokeseg.files.json_files import read_json, write_json
from strokeseg.files.links import is_link_out, leads_out
from strokeseg.files.staging import STAGING, staging_prefix
from strokeseg.images.filetype import header_and_voxels
from strokeseg.images.modalities import choose_reference, order_modalities
from strokeseg.images.stream import require_file
from strokeseg.results.archive import error_path
from strokeseg.results.dicom_seg import dicom_of, seg_path
from strokeseg.results.filled import FILLED_SCAN
from strokeseg.results.other_formats import ENDINGS, endings_of, other_names
from strokeseg.results.output_names import ALL_KINDS, RESULT_FILES, OutputNames
from strokeseg.results.record import InputRecord, LeftOutRecord, Record

_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp")
NEW = "new"
_OTHER_KIND = "its record is of another kind"


@dataclass(frozen=True)
class ResumeCheck:
    """What was found of a case: why it has to be done (None: all is there), and its inputs.

    `digests` is the sha256 of each input file by modality, as a record has them, taken before the
    inputs are read; `pairs` that of the other half of each .img/.hdr pair, or of
    the further runs of a scan. `kinds` are the results that the case is to have, and `endings` the
    formats beside NIfTI: those asked for, and those that it has; so is `seg`, whether a DICOM SEG.
    """

    reason: str | None
    digests: Mapping[str, str]
    pairs: Mapping[str, str]
    kinds: frozenset[str]
    endings: tuple[str, ...] = ()
    seg: bool = False


def look_at(case: Case, job: BatchJob) -> ResumeCheck:
    """Compare a case's record with what would make it now, with its files and with its inputs.

    Engine, device, number of threads and limit of memory may differ, as results do not depend on
    them beyond what the engines' tolerance says; where a mask drawn by hand lies may differ too.
    But a limit that made the windows smaller has to be the same.

    Raises
    ------
    StrokesegError
        An input is missing or cannot be read.
    """
    for path in case.images.values():
        if not path.is_dir():  # of DICOM
            require_file(path)
    digests = {name: sha256_of_all(path) for name, path in case.images.items()}
    pairs = {
        name: sha256(other)
        for name, path in case.images.items()
        if (other := _other_half(path)) is not None
    } | _runs_of(case)
    wanted = with_kinds_of(case, job)
    endings = _endings_of(case, job)
    seg = job.as_dicom or seg_path(job.names(case)).is_file()
    seg = seg and dicom_of(case.images, job.options.reference) is not None
    look = ResumeCheck(None, digests, pairs, wanted.kinds, endings, seg)
    return replace(look, reason=_find_reason(case, wanted, look))


def _runs_of(case: Case) -> dict[str, str]:
    """Give one sha256 of the further runs of each scan that is a mean of several."""
    found = {}
    for name, paths in case.runs.items():
        digests = [sha256_of_all(path) for path in paths]
        found[name] = hash_of("\n".join(digests).encode()).hexdigest()
    return found


def with_kinds_of(case: Case, job: BatchJob) -> BatchJob:
    """Give the job for one case, which keeps the kinds of results that it has beside new ones."""
    names = job.names(case)
    fields = names.by_field(ALL_KINDS)
    there = {
        f.kind for name, f in RESULT_FILES.items() if name in fields and fields[name].is_file()
    }
    with suppress(StrokesegError):  # a damaged record names none
        there |= set(Record.read(read_json(names.record)).kinds or ()) & set(ALL_KINDS)
    return for_kinds(job, job.kinds | (there - {"record"}))


def _endings_of(case: Case, job: BatchJob) -> tuple[str, ...]:
    """Give the formats beside NIfTI: those that are asked for, and those that the case has."""
    names, record = job.names(case), None
    with suppress(StrokesegError):  # a damaged record names none
        record = Record.read(read_json(names.record))
    reference = choose_reference(order_modalities(case.images), job.options.reference)
    wanted = endings_of(job.save_format, case.images[reference])
    filed = tuple((record and record.files) or ())
    return tuple(
        ending
        for ending in ENDINGS
        if ending in wanted
        or any(name.endswith(ending) for name in filed)
        or any(path.is_file() for path in other_names(names, ALL_KINDS, (ending,)))
    )


def for_kinds(job: BatchJob, kinds: frozenset[str]) -> BatchJob:
    """Give the job that saves these kinds of results, and computes what they hold."""
    computed: dict[str, Any] = {
        kind: getattr(job.options, kind) or kind in kinds
        for kind in ("uncertainty", "mni", "filled", "parts")
    }
    return replace(job, kinds=kinds, options=replace(job.options, **computed))


def _find_reason(case: Case, job: BatchJob, look: ResumeCheck) -> str | None:
    names = job.names(case)
    if not job.resume:
        return "--no-resume"
    if not names.record.exists():
        return NEW
    if is_link_out(names.record, job.output):
        return "its record was a link that leads out of OUTPUT"
    try:
        record = Record.read(read_json(names.record))
    except StrokesegError:
        return "its record is damaged"
    seg = seg_path(names)
    gone = f"{seg.name} was missing" if look.seg and not seg.is_file() else None
    damage = _find_damage(record, names, job.output, look.endings)
    return _find_difference(record, case, job, look) or damage or gone


def _find_difference(record: Record, case: Case, job: BatchJob, look: ResumeCheck) -> str | None:
    """Compare a record with what would be written now."""
    if None in (record.strokeseg, record.options, record.kinds, record.files):
        return _OTHER_KIND
    if record.strokeseg != job.version:
        return f"strokeseg was {record.strokeseg}"
    if record.case != case.name:
        return "it was another case"
    if record.anonymised is not job.anonymise:
        return "it was not anonymised" if job.anonymise else "it was anonymised"
    models = [(m.sha256, m.config_sha256, m.precision) for m in record.models]
    if models != [(p.sha256, p.config_sha256, job.hardware.precision) for p in job.prints]:
        return "the model was another"
    memory = record.memory or {}  # records of 0.1.0 have none
    if memory.get("window_reduced") and memory.get("limit_bytes") != job.hardware.max_memory_bytes:
        return "its window was smaller, to hold another --max-memory"
    if record.options != job.options.as_record():
        return "the options were others"
    if record.kinds != tuple(sorted(job.kinds)):
        return "other results were asked for"
    found: Mapping[str, InputRecord | LeftOutRecord] = {**record.inputs, **record.left_out}
    same = {name: i.sha256 for name, i in found.items()} == look.digests
    same &= {n: i.pair_sha256 for n, i in found.items() if i.pair_sha256 is not None} == look.pairs
    return None if same else "the inputs were others"


def _find_damage(
    record: Record, names: OutputNames, output: Path, endings: Sequence[str]
) -> str | None:
    """Compare the outputs with the checksums in their record."""
    files, kinds = record.files or {}, set(record.kinds or ())
    if record.reference != FILLED_SCAN:
        kinds.discard("filled")
    others = other_names(names, kinds, endings)
    expected = {path.name: path for path in (*names.chosen(kinds)[:-1], *others)}
    moved = [name for name, one in record.registration.items() if one.get("kept") is True]
    moves = names.transforms(moved, record.reference or "").values()
    expected |= {path.name: path for path in moves}
    if files.keys() != expected.keys():
        return _OTHER_KIND
    for name, path in expected.items():
        if is_link_out(path, output):
            return f"{name} was a link that leads out of OUTPUT"
        if not path.is_file():
            return f"{name} was missing"
        if sha256(path) != files[name]:
            return f"{name} was changed"
    return None


def describe_more(record: Record, case: Case, job: BatchJob, look: ResumeCheck) -> Record:
    """Add to a record what only a batch knows and the next one asks for."""
    inputs = {n: replace(i, pair_sha256=look.pairs.get(n)) for n, i in record.inputs.items()}
    left_out = {n: replace(i, pair_sha256=look.pairs.get(n)) for n, i in record.left_out.items()}
    models = tuple(
        replace(m, config_sha256=p.config_sha256)
        for m, p in zip(record.models, job.prints, strict=True)
    )
    return replace(
        record,
        inputs=inputs,
        left_out=left_out,
        models=models,
        case=case.name,
        truth=_truth_of(case),
    )


def checked_names(case: Case, job: BatchJob) -> OutputNames:
    """Give what a case's results are called.

    Raises
    ------
    StrokesegError
        It cannot be done, or its results would lie out of the output folder.
    """
    names = job.names(case)
    check_inside(names, job.output)
    if case.fault is not None:
        raise case.fault
    return names


def check_inside(names: OutputNames, output: Path) -> None:
    """Refuse a case whose folder a link puts outside the cohort's output folder.

    Raises
    ------
    CannotCreateError
        Writing there would change files of somebody else.
    """
    if leads_out(names.directory, output):
        raise CannotCreateError(
            f"{names.directory}: a link on this way leads out of {output}; remove it, or give the "
            "folder that it leads to as OUTPUT"
        )


def amend_truth(case: Case, names: OutputNames) -> None:
    """Write down where the mask drawn by hand lies now, which changes no result."""
    record = read_json(names.record)
    if record.get("truth") != _truth_of(case):
        write_json(names.record, record | {"truth": _truth_of(case)})


def _truth_of(case: Case) -> str | None:
    return None if case.truth is None else str(case.truth)


def _other_half(path: Path) -> Path | None:
    """Give the other file of an .img/.hdr pair."""
    header, voxels = header_and_voxels(path)
    return None if header == voxels else voxels if path == header else header


def remove_leftovers(names: OutputNames, *, shared: bool) -> None:
    """Remove what a killed process left of a case; nobody else may be at it now.

    Parameters
    ----------
    names
        The case's files.
    shared
        Whether other cases have the same folder: then only what is this case's by its name goes.
    """
    files = (*names.chosen(ALL_KINDS), error_path(names), seg_path(names))
    own = {path.name for path in files}
    if not names.directory.is_dir():
        return
    remove_temporary(names.directory, own if shared else None)
    prefix = staging_prefix(names.record.name) if shared else STAGING
    for item in names.directory.glob(f"{prefix}*"):
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item, ignore_errors=True)


def remove_temporary(folder: Path, own: set[str] | None) -> None:
    """Remove half-written files that would have been called one of `own`, or anything if None."""
    for item in folder.glob(".*.tmp"):
        match = _TEMPORARY.fullmatch(item.name)
        if match and (own is None or match[1] in own):
            item.unlink(missing_ok=True)
