"""Cases of a folder that is no BIDS dataset: a folder per case, or files side by side."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from strokeseg.cohort.cases.bids import is_subject
from strokeseg.cohort.cases.case import Case
from strokeseg.cohort.cases.case_names import check_name
from strokeseg.cohort.cases.findings import Findings
from strokeseg.cohort.cases.image_names import case_of_claimed, read_name
from strokeseg.cohort.cases.patterns import Pattern
from strokeseg.cohort.cases.run_names import without_run
from strokeseg.cohort.cases.sorting import (
    SortedImages,
    Sorter,
    choose_images,
    choose_truth,
    further_runs,
    sort_files,
    take_series,
)
from strokeseg.errors import DataError, InputNotFoundError, UsageError
from strokeseg.images.dicom import is_dicom
from strokeseg.images.listing import list_folders, list_images
from strokeseg.images.twins import TWINS, plain_name, without_twins
from strokeseg.phrases import cut_short
from strokeseg.results.archive import OVERLAP_FOLDER, REPORT_FOLDER
from strokeseg.results.output_names import ERROR_ENDING, RECORD_ENDING

_BIDS_BELOW = re.compile(r"sub-[^/]+/(?:ses-[^/]+/)?(?:anat|dwi)/")
# A patient and the number of a series, as dcm2niix writes them: P01_5.
_SERIES = re.compile(r"(.*(?:[A-Za-z]\d+|\d[A-Za-z]+).*)[_-]s?(\d{1,4}[a-z]?)")
_UNTOLD = (
    "DICOM whose folder's name tells no contrast was left out (name it t1, flair, dwi, ct, or use "
    "strokeseg convert)"
)
_NOTHING = "folders without a scan that was recognised were left out"


def find_in_folder(root: Path, sorter: Sorter, findings: Findings) -> tuple[Case, ...]:
    """Find the cases of a folder.

    Where folders below it hold scans, each is a case, however deep its scans lie. Else scans lie
    side by side, and those are of one case whose names are the same but for the modality.

    Parameters
    ----------
    root : Path
        The folder.
    sorter : Sorter
        The user's patterns; they are held against paths below the case's folder.
    findings : Findings
        Gets what is ambiguous, and notes.

    Raises
    ------
    DataError
        If there are scans both in folders and beside them.
    UsageError
        If a BIDS dataset lies one folder below, or this is a single subject of one.
    """
    _check_no_subject(root)
    piles = _piles_of_folders(root, sorter, findings)
    loose = _piles_of_files(root, sorter, findings)
    in_folders = [name for name, pile in piles.items() if pile.scans]
    if in_folders and loose:
        raise DataError(
            f"{root}: scans lie both in folders ({cut_short(in_folders, 3)}) and beside them "
            f"({cut_short(_files_of(loose), 3)}); move one kind elsewhere, or list the cases in a "
            "table"
        )
    if loose:
        return tuple(_loose_case(root, *item, sorter, findings) for item in loose.items())
    cases = []
    for name, pile in piles.items():
        images = choose_images(name, root / name, pile, sorter, findings)
        if images:
            cases.append(_case(name, root / name, images, pile, findings))
    if len(in_folders) == 1:
        only = root / in_folders[0]
        findings.check(str(root), f"; if {only} holds many cases, give that folder")
    return tuple(cases)


def _piles_of_folders(root: Path, sorter: Sorter, findings: Findings) -> dict[str, SortedImages]:
    """Sort the images of every folder below the root."""
    piles = {}
    for name in list_folders(root):
        try:
            files = list_images(root / name)
        except InputNotFoundError as error:
            findings.note("folders that cannot be read were left out", str(error))
            continue
        pile = sort_files(root / name, files, sorter)
        if not files:
            _take_dicom(pile, root / name, findings)
        deeper = {file.split("/")[0] for file in _scans(pile) if _BIDS_BELOW.match(file)}
        if deeper:
            raise UsageError(
                f"{root / name} is a BIDS dataset ({cut_short(sorted(deeper), 3)}); give that "
                "folder as INPUT"
            )
        piles[name] = pile
        findings.raw += [f"{name}/{file}" for file in pile.raw if not pile.scans]
        if not pile.scans and not _is_result(root / name):
            findings.note(_NOTHING, _why(name, pile))
    return piles


def _take_dicom(pile: SortedImages, folder: Path, findings: Findings) -> None:
    """Take DICOM folders and zips of a case without images, where names tell what is in them."""
    inside = [*list_folders(folder), *sorted(path.name for path in folder.glob("*.zip"))]
    for name in inside:
        if is_dicom(folder / name):
            modality = read_name(name.removesuffix(".zip")).modality
            if modality:
                pile.scans.setdefault(modality, []).append(name)
            else:
                findings.note(_UNTOLD, f"{folder.name}/{name}")
    if not inside and is_dicom(folder):
        findings.note(_UNTOLD, folder.name)


def _piles_of_files(root: Path, sorter: Sorter, findings: Findings) -> dict[str, SortedImages]:
    """Sort the images that lie in the root itself, by whose they are."""
    piles: dict[str, SortedImages] = {}
    unknown = []
    files, twins = without_twins(list_images(root, deep=False))
    for left, taken in twins.items():
        findings.note(TWINS, f"{left} (taken: {taken})")
    for file in files:
        pile = SortedImages()
        key = _key(file, sorter.add(pile, root, file), averages=sorter.averages)
        whole = piles.setdefault(key or root.name, SortedImages())
        for modality, files in pile.scans.items():
            whole.scans.setdefault(modality, []).extend(files)
        whole.masks += pile.masks
        whole.raw += pile.raw
        whole.passed |= pile.passed
        unknown += pile.rest
    for file in unknown:
        findings.note("images whose names tell no modality were left out", file)
    for name, pile in piles.items():
        take_series(pile, root, sorter)
        if pile.scans:
            continue
        findings.raw += pile.raw
        if pile.raw or pile.passed:
            what = "a raw diffusion series" if pile.raw else "scans that no --pattern fits"
            findings.note(f"left out, as there is nothing but {what}", name)
        elif pile.masks:
            findings.note("masks without a scan of the same name were left out", pile.masks[0])
    found = {name: pile for name, pile in sorted(piles.items()) if pile.scans}
    for names in _series_of_one(found):
        findings.note("cases that may be several series of one patient", " and ".join(names))
    return found


def _series_of_one(piles: Mapping[str, SortedImages]) -> list[list[str]]:
    """Find loose cases whose names differ in a last number alone, and that share a modality."""
    alike: dict[tuple[str, str], list[str]] = {}
    for name, pile in piles.items():
        match = _SERIES.fullmatch(name)
        for modality in pile.scans if match else ():
            alike.setdefault((match[1] if match else "", modality), []).append(name)
    return [names for names in alike.values() if len(names) > 1]


def _key(file: str, claim: Pattern | None, *, averages: bool) -> str:
    """Tell whose a file is that lies beside those of others."""
    if claim:
        return case_of_claimed(file, claim.modality, claim.wild(file))
    plain = plain_name(file)
    return read_name(without_run(plain) if averages else plain).case


def _loose_case(
    root: Path, name: str, pile: SortedImages, sorter: Sorter, findings: Findings
) -> Case:
    images = choose_images(name, root, pile, sorter, findings)
    return _case(name, root, images, pile, findings)


def _case(
    name: str, folder: Path, images: Mapping[str, Path], pile: SortedImages, findings: Findings
) -> Case:
    check_name(name, str(folder))
    truth = choose_truth(name, folder, pile, findings)
    runs = further_runs(folder, pile)
    return Case(name=name, images=images, folder=name, prefix=name, truth=truth, runs=runs)


def _check_no_subject(root: Path) -> None:
    """Raise if the folder is one subject of a BIDS dataset."""
    if root.name.startswith("sub-") and is_subject(root):
        label = root.name.removeprefix("sub-")
        raise UsageError(
            f"{root} is one subject of a BIDS dataset; give {root.parent} as INPUT, with "
            f"--participant-label {label}"
        )


def _is_result(folder: Path) -> bool:
    """Tell whether a folder holds results of strokeseg."""
    if folder.name in (REPORT_FOLDER, OVERLAP_FOLDER):
        return True
    return any(
        name.endswith((RECORD_ENDING, ERROR_ENDING))
        for _, _, names in os.walk(folder)
        for name in names
    )


def _why(name: str, pile: SortedImages) -> str:
    """Say what a folder without scans does hold."""
    if pile.raw:
        return f"{name} (a raw diffusion series alone)"
    if pile.rest:
        return f"{name} (holds {cut_short(pile.rest, 2)})"
    return name


def _scans(pile: SortedImages) -> list[str]:
    return [file for files in pile.scans.values() for file in files]


def _files_of(piles: Mapping[str, SortedImages]) -> list[str]:
    return [file for pile in piles.values() for file in _scans(pile)]
