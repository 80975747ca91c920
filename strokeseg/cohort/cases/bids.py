"""Cases of a BIDS dataset: one per subject and session."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from strokeseg.cohort.cases.case import Case
from strokeseg.cohort.cases.case_names import check_name
from strokeseg.cohort.cases.diffusion import Diffusion, diffusion_of
from strokeseg.cohort.cases.entities import is_ignored, read_ignored
from strokeseg.cohort.cases.findings import Findings
from strokeseg.cohort.cases.sorting import (
    SortedImages,
    Sorter,
    choose_images,
    further_runs,
    take_series,
)
from strokeseg.errors import InputNotFoundError, UsageError
from strokeseg.images.listing import list_folders, list_images
from strokeseg.images.modalities import order_modalities
from strokeseg.phrases import cut_short

DESCRIPTION = "dataset_description.json"
# The folders whose images are taken by their names; others only by a pattern.
_READ = ("anat", "dwi", "ct")
_DIFFUSION = ("dwi", "adc")
_NOTHING = "left out, as no scan was recognised"
_MOST_LABELS = 30
_OTHERS = "scans without the wanted entities were left out"
_IGNORED = ".bidsignore leaves out"


@dataclass(frozen=True)
class Wanted:
    """Which subjects and sessions; all where none is named. Labels, with or without ``sub-``."""

    participants: Sequence[str] = ()
    sessions: Sequence[str] = ()


def is_bids(folder: Path) -> bool:
    """Tell whether a folder is a BIDS dataset: by its description, or by its subjects' folders."""
    if (folder / DESCRIPTION).is_file():
        return True
    subjects = (folder / name for name in list_folders(folder) if name.startswith("sub-"))
    return any(is_subject(subject) for subject in subjects)


def is_subject(folder: Path) -> bool:
    """Tell whether a folder has the data of one subject as BIDS has it."""
    inside = list_folders(folder)
    if {"anat", "dwi"} & set(inside):
        return True
    sessions = [name for name in inside if name.startswith("ses-")]
    return any({"anat", "dwi"} & set(list_folders(folder / name)) for name in sessions)


def find_in_bids(
    root: Path, sorter: Sorter, wanted: Wanted, reference: str | None, findings: Findings
) -> tuple[Case, ...]:
    """Find the cases of a BIDS dataset, derivatives and source data left out.

    Parameters
    ----------
    root : Path
        The dataset.
    sorter : Sorter
        The user's patterns; they are held against paths below ``sub-01[/ses-02]``.
    wanted : Wanted
        Which subjects and sessions.
    reference : str or None
        The modality whose grid results will have, where the case has it: it decides whether they
        go to ``anat`` or ``dwi``.
    findings : Findings
        Gets what is ambiguous, and notes.

    Raises
    ------
    InputNotFoundError
        If a subject or session that was asked for is not there.
    """
    subjects = [name for name in list_folders(root) if name.startswith("sub-")]
    chosen = _chosen(subjects, wanted.participants, "sub", f"{root}: --participant-label")
    inherited = sorted(path for path in root.glob("*dwi.bval") if path.is_file())
    piles: dict[str, list[str]] = {}
    ignored = read_ignored(root)
    for subject in chosen:
        for key, files in _sessions_of(root, subject).items():
            piles[key] = [file for file in files if not is_ignored(f"{key}/{file}", ignored)]
            for file in sorted(set(files) - set(piles[key])):
                findings.note(_IGNORED, file.rpartition("/")[2])
    sessions = sorted({key.partition("/")[2] for key in piles} - {""})
    kept = set(_chosen(sessions, wanted.sessions, "ses", f"{root}: --session-label"))
    cases = []
    for key, files in piles.items():
        session = key.partition("/")[2]
        if session not in kept and (session or wanted.sessions):
            continue
        name = check_name(key.replace("/", "_"), str(root))
        pile = _sort(root / key, files, sorter, inherited)
        _narrow(pile, sorter, findings)
        images = choose_images(name, root / key, pile, sorter, findings)
        if images:
            case = _case(root, key, images, reference)
            cases.append(replace(case, runs=further_runs(root / key, pile)))
        else:
            findings.note(_NOTHING, name + (" (a raw diffusion series alone)" if pile.raw else ""))
    return tuple(cases)


def _narrow(pile: SortedImages, sorter: Sorter, findings: Findings) -> None:
    """Leave the scans that have the wanted entities."""
    for modality, files in list(pile.scans.items()):
        kept = [file for file in files if sorter.entities.keeps(modality, file)]
        for file in files:
            if file not in kept:
                findings.note(_OTHERS, file.rpartition("/")[2])
        if kept:
            pile.scans[modality] = kept
        else:
            del pile.scans[modality]


def _case(root: Path, key: str, images: Mapping[str, Path], reference: str | None) -> Case:
    """Put a case together; `key` is ``sub-01`` or ``sub-01/ses-02``."""
    name = key.replace("/", "_")
    grid = reference if reference in images else order_modalities(images)[0]
    return Case(
        name=name,
        images=images,
        folder=f"{key}/{'dwi' if grid in _DIFFUSION else 'anat'}",
        prefix=name,
        sources={
            modality: f"bids:raw:{path.relative_to(root).as_posix()}"
            for modality, path in images.items()
        },
    )


def _sessions_of(root: Path, subject: str) -> dict[str, list[str]]:
    """Give the images of a subject by ``sub-01`` or ``sub-01/ses-02``, relative to that folder."""
    piles: dict[str, list[str]] = {}
    for file in list_images(root / subject):
        first, _, rest = file.partition("/")
        in_session = bool(rest) and first.startswith("ses-")
        key = f"{subject}/{first}" if in_session else subject
        piles.setdefault(key, []).append(rest if in_session else file)
    return piles or {subject: []}


def _sort(
    folder: Path, files: Sequence[str], sorter: Sorter, inherited: Sequence[Path]
) -> SortedImages:
    """Sort the images of one case."""
    pile = SortedImages()
    for file in files:
        parts = file.split("/")
        if len(parts) == 2 and parts[0] in _READ:
            sorter.add(pile, folder, file)
        else:
            claim = sorter.claim(file)
            if claim:
                pile.scans.setdefault(claim.modality, []).append(file)
    if inherited and sorter.guesses("dwi"):
        for file in list(pile.scans.get("dwi", ())):
            values = next(_that_hold_for(file, inherited), None)
            if diffusion_of(folder / file, values) is not Diffusion.IMAGE:
                pile.scans["dwi"].remove(file)
                pile.raw.append(file)
        if not pile.scans.get("dwi", True):
            del pile.scans["dwi"]
    take_series(pile, folder, sorter)
    return pile


def _that_hold_for(file: str, inherited: Sequence[Path]) -> Iterator[Path]:
    """Give the dataset's b-values whose entities a file has, as BIDS's inheritance says."""
    words = set(file.rpartition("/")[2].partition(".")[0].split("_"))
    return (path for path in inherited if set(path.name.partition(".")[0].split("_")) <= words)


def _chosen(there: Sequence[str], wanted: Sequence[str], entity: str, where: str) -> Sequence[str]:
    """Take the folders that are wanted, by label; all if none is named."""
    names = [f"{entity}-{label.removeprefix(entity + '-')}" for label in wanted]
    if f"{entity}-" in names:
        raise UsageError(f"{where} is empty; give labels such as 01 02")
    missing = [name for name in names if name not in there]
    if missing:
        have = cut_short((name.removeprefix(f"{entity}-") for name in there), _MOST_LABELS)
        raise InputNotFoundError(f"{where}: no {', '.join(missing)}; there is {have or 'none'}")
    return [name for name in there if name in names] if wanted else there
