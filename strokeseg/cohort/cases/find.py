"""Find the cases of a cohort, whatever form it has, before anything runs."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from strokeseg.cohort.cases.bids import Wanted, find_in_bids, is_bids
from strokeseg.cohort.cases.case import Case, Cohort
from strokeseg.cohort.cases.case_names import check_places, space_of
from strokeseg.cohort.cases.entities import EntityFilter
from strokeseg.cohort.cases.findings import Findings
from strokeseg.cohort.cases.folder import find_in_folder
from strokeseg.cohort.cases.patterns import compile_patterns
from strokeseg.cohort.cases.sorting import Sorter
from strokeseg.cohort.cases.table import find_in_table
from strokeseg.errors import DataError, InputNotFoundError, UsageError
from strokeseg.images.file_names import is_image_name
from strokeseg.images.listing import list_folders
from strokeseg.images.modalities import order_modalities
from strokeseg.images.stream import windows_hint
from strokeseg.phrases import cut_short

PLAN_COLUMNS = ("case", "scan", "file", "results")
_NO_PATTERNS: Mapping[str, str] = MappingProxyType({})
_OFFICE = (".xlsx", ".xls", ".ods", ".numbers")


def find_cases(
    source: Path,
    *,
    patterns: Mapping[str, str] = _NO_PATTERNS,
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    reference: str | None = None,
    entities: EntityFilter | None = None,
    average: bool = False,
) -> Cohort:
    """Find every case of a BIDS dataset, a folder or a table; no image is opened.

    Parameters
    ----------
    source : Path
        A BIDS dataset; a folder with a folder per case, or with files side by side; a CSV or TSV.
    patterns : mapping
        Glob by modality, which replaces reading the modality from names.
    participants, sessions : sequence of str
        Labels, with or without ``sub-`` and ``ses-``; all where empty. For BIDS datasets alone.
    reference : str, optional
        The modality whose grid results will have.
    entities : EntityFilter, optional
        What the names of scans have to have. For BIDS datasets alone.
    average : bool
        Whether the mean of several runs of a scan is taken, not the first. Not for tables.

    Returns
    -------
    Cohort
        Cases sorted by name, and notes about what was left out.

    Raises
    ------
    InputNotFoundError
        If the input, a file of the table, or a subject that was asked for is not there.
    DataError
        If no case is found or can be done, or two would write the same files.
    UsageError
        If options do not suit the input.
    """
    root = source.absolute()
    if not os.path.exists(root):  # noqa: PTH110 - Path.exists() raises where it may not look
        hint = windows_hint(os.fspath(source)) or "give INPUT"
        raise InputNotFoundError(f"{source}: no such folder or table; {hint}")
    findings = Findings()
    wanted = Wanted(tuple(participants), tuple(sessions))
    if root.is_dir():
        sorter = Sorter(compile_patterns(patterns), entities or EntityFilter(), average)
        cohort = _find_in_tree(root, sorter, wanted, reference, findings)
    else:
        _check_is_table(root)
        if patterns or participants or sessions:
            raise UsageError(f"{root} is a table: it takes no --pattern and no label of BIDS")
        if average:
            raise UsageError(f"{root} is a table, which names each scan: leave --runs average out")
        cohort = Cohort("table", root, find_in_table(root, findings))
        if not cohort.cases:
            raise DataError(f"{root}: lists no case; add a row for each")
    named = (_with_space(case, reference) for case in cohort.cases)
    cases = tuple(sorted(named, key=lambda case: case.name))
    check_places(cases, str(root))
    for case in cases:
        if case.fault is not None:
            findings.note("cannot be done, the others can", f"{case.name} ({case.fault})")
    return replace(cohort, cases=cases, notes=findings.lines())


def _with_space(case: Case, reference: str | None) -> Case:
    """Keep the space of the scan whose grid results have in their names."""
    if not case.images:
        return case
    first = order_modalities(case.images)[0]
    grid = case.images.get(reference or first, case.images[first])
    return replace(case, prefix=case.prefix + space_of(grid.name, case.prefix))


def plan_rows(cohort: Cohort) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Give what would run as a table: its columns, and a row per case with a line per file.

    Files are told relative to the cohort's folder where they lie in it.
    """
    base = cohort.root if cohort.kind != "table" else cohort.root.parent
    rows: list[tuple[str, ...]] = []
    for case in cohort.cases:
        truth = {"(truth)": case.truth} if case.truth else {}
        files = {**case.images, **case.further, **truth}
        rows.append(
            (
                case.name,
                "\n".join(files),
                "\n".join(_relative(path, base) for path in files.values()),
                "/".join(part for part in (case.folder, f"{case.prefix}_*") if part),
            )
        )
    return PLAN_COLUMNS, rows


def _find_in_tree(
    root: Path, sorter: Sorter, wanted: Wanted, reference: str | None, findings: Findings
) -> Cohort:
    """Find the cases of a folder, be it a BIDS dataset or not."""
    if is_bids(root):
        cohort = Cohort("bids", root, find_in_bids(root, sorter, wanted, reference, findings))
    elif wanted.participants or wanted.sessions:
        raise UsageError(
            f"{root} is no BIDS dataset (no dataset_description.json, no sub-*/anat): leave out "
            "--participant-label and --session-label"
        )
    elif len(datasets := _datasets_in(root)) > 1:
        cohort = _find_in_datasets(root, datasets, sorter, reference, findings)
    else:
        cohort = Cohort("folder", root, find_in_folder(root, sorter, findings))
    unused = sorter.unused()
    if unused and not (wanted.participants or wanted.sessions):
        raise UsageError(f"{unused[0]} fits no file of {root}{_examples(sorter)}")
    for pattern in unused:
        findings.note("patterns that fit no file of the chosen subjects", pattern)
    cohort = _with_faults(cohort, findings)
    if not cohort.cases:
        raise DataError(_nothing(cohort, sorter, findings))
    return cohort


def _with_faults(cohort: Cohort, findings: Findings) -> Cohort:
    """Mark the cases that are ambiguous; where no other is left, that ends the search."""
    doubtful = {one.case for one in findings.ambiguities}
    if not doubtful < {case.name for case in cohort.cases}:
        findings.check(str(cohort.root))
    cases = [
        replace(case, fault=findings.fault(case.name)) if case.name in doubtful else case
        for case in cohort.cases
    ]
    return replace(cohort, cases=tuple(cases))


def _datasets_in(root: Path) -> list[str]:
    """Give the folders that are BIDS datasets; one that cannot be read is none."""
    found = []
    for name in list_folders(root):
        with suppress(InputNotFoundError):
            found += [name] if is_bids(root / name) else []
    return found


def _find_in_datasets(
    root: Path, datasets: Sequence[str], sorter: Sorter, reference: str | None, findings: Findings
) -> Cohort:
    """Find the cases of several BIDS datasets side by side, as ATLAS has R001, R002, ..."""
    cases = [
        replace(case, folder=f"{name}/{case.folder}", sources={})
        for name in datasets
        for case in find_in_bids(root / name, sorter, Wanted(), reference, findings)
    ]
    count = Counter(case.name for case in cases)
    named = tuple(
        replace(case, name=f"{case.folder.partition('/')[0]}_{case.name}")
        if count[case.name] > 1
        else case
        for case in cases
    )
    return Cohort("folder", root, named)


def _nothing(cohort: Cohort, sorter: Sorter, findings: Findings) -> str:
    """Say what was looked for in vain."""
    notes = "".join(f" {line};" for line in findings.lines())
    if cohort.kind == "bids":
        return (
            f"{cohort.root}: no scan in sub-*/[ses-*/]anat or dwi named _T1w, _FLAIR, _T2w, _dwi, "
            f"_ADC or _PDw;{notes} name other files with --pattern flair='*GLOB*'"
        )
    if not sorter.seen:
        return (
            f"{cohort.root}: no image (.nii, .nii.gz, .mgz, .mgh, .img) in this folder or below; "
            "convert DICOM first, with strokeseg convert, or name its folders t1, flair, dwi, ct"
        )
    if findings.raw:
        return (
            f"{cohort.root}: holds raw diffusion series alone ({cut_short(findings.raw, 3)}); give "
            "the trace image or the ADC of each, or another scan"
        )
    return (
        f"{cohort.root}: no file name tells a modality (T1w, FLAIR, T2w, dwi, adc, ct, ...)"
        f"{_examples(sorter)}; say which is which with --pattern flair='*GLOB*', or list the cases "
        "in a table"
    )


def _examples(sorter: Sorter) -> str:
    """Show names of images that are there, as patterns are held against them."""
    return f" (there is {cut_short(sorter.seen, 3)})" if sorter.seen else ""


def _relative(path: Path, base: Path) -> str:
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else str(path)


def _check_is_table(path: Path) -> None:
    """Raise if a file is plainly no table."""
    if is_image_name(path.name):
        raise UsageError(f"{path} is one image; segment it with strokeseg predict")
    if path.suffix.lower() in _OFFICE:
        raise DataError(f"{path} is a spreadsheet; save it as CSV (UTF-8) and give that")
    if not path.is_file():
        raise InputNotFoundError(f"{path}: is neither a folder nor a file; give INPUT")
