"""What a case may be called, and where below the output folder its results may go."""

import re
from collections.abc import Sequence

from strokeseg.cohort.cases.case import Case
from strokeseg.errors import DataError
from strokeseg.files.safe_names import name_fault
from strokeseg.results.archive import COHORT_TABLE, LESION_TABLE, OVERLAP_FOLDER, REPORT_FOLDER

_SPACE = re.compile(r"_space-[A-Za-z0-9]+(?=[_.]|$)")
_TAKEN = (REPORT_FOLDER, OVERLAP_FOLDER, COHORT_TABLE, LESION_TABLE)


def check_name(name: str, where: str) -> str:
    """Check that a case's name can start the names of its files, and give it back.

    Parameters
    ----------
    name : str
        The case's name.
    where : str
        Where it was found, for the message.

    Raises
    ------
    DataError
        If it cannot start the names of files everywhere, see `strokeseg.files.safe_names`.
    """
    fault = name_fault(name)
    if fault:
        raise DataError(f"{where}: case {name!a} {fault}; give a name such as sub-01")
    return name


def space_of(file: str, name: str) -> str:
    """Give BIDS's space entity of a file's name, ``_space-MNI152``; empty if a name has one."""
    match = _SPACE.search(file)
    return match[0] if match and not _SPACE.search(name) else ""


def check_folder(folder: str, where: str) -> str:
    """Check that a folder for results stays below the output folder, and give it back.

    Raises
    ------
    DataError
        If it is absolute, leads out by ``..``, or one of its parts is no name for a folder.
    """
    shown = f"{where}: output {folder!a}"
    advice = "give a folder below OUTPUT such as group1/sub-01"
    if folder.startswith(("/", "~")) or re.match(r"[A-Za-z]:", folder):
        raise DataError(f"{shown} is an absolute path; {advice}")
    for part in folder.split("/"):
        fault = name_fault(part)
        if fault:
            told = "leads out of OUTPUT by '..'" if part == ".." else f"has a part that {fault}"
            raise DataError(f"{shown} {told}; {advice}")
    return folder


def check_places(cases: Sequence[Case], where: str) -> None:
    """Check that no two cases have one name, or would write the same files.

    Capitals do not tell names apart, as on many disks they do not.

    Raises
    ------
    DataError
        If two collide, or one would go where a cohort's own report or map goes.
    """
    names: dict[str, str] = {}
    places: dict[tuple[str, str], str] = {}
    for case in cases:
        top = case.folder.split("/")[0].casefold()
        if top in _TAKEN:
            raise DataError(
                f"{where}: case {case.name} would go into OUTPUT/{case.folder}, but {top} is kept "
                "for the whole cohort's; rename it"
            )
        name = case.name.casefold()
        if name in names:
            raise DataError(_same(where, names[name], case.name))
        place = (case.folder.casefold(), case.prefix.casefold())
        if place in places:
            raise DataError(
                f"{where}: cases {places[place]} and {case.name} would both write "
                f"{case.folder}/{case.prefix}_*; give each its own output or name"
            )
        names[name] = places[place] = case.name


def _same(where: str, first: str, second: str) -> str:
    if first == second:
        return f"{where}: two cases are called {first}; give each its own name"
    return (
        f"{where}: cases {first} and {second} differ in capitals alone, which many disks do not "
        "tell apart; rename one"
    )
