"""A cohort whose cases are called after the bytes of their scans."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from strokeseg.cohort.cases.case import Case, Cohort
from strokeseg.cohort.cases.case_names import space_of
from strokeseg.errors import CannotCreateError, DataError, InputNotFoundError, StrokesegError
from strokeseg.files.json_files import read_json
from strokeseg.images.modalities import order_modalities
from strokeseg.machine import in_threads
from strokeseg.phrases import counted
from strokeseg.results.anonymous import pseudonym
from strokeseg.results.output_names import ERROR_ENDING, RECORD_ENDING


def anonymise_cohort(cohort: Cohort, reference: str | None, *, keep_labels: bool) -> Cohort:
    """Give a cohort whose cases, results and notes name no file.

    Parameters
    ----------
    cohort
        What was found.
    reference
        The modality whose grid the results will have, where a case has it.
    keep_labels
        Whether the cases are called after labels of BIDS, which are pseudonyms already and stay.

    Raises
    ------
    InputNotFoundError
        A scan that a case would be called after cannot be read.
    DataError
        Two cases have the same one.
    """
    cases = [replace(case, truth=None, sources={}) for case in cohort.cases]
    wrong = sum(case.fault is not None for case in cases)
    if wrong:
        raise DataError(
            f"{wrong} of {counted(len(cases), 'case')} cannot be done; the same without "
            "--anonymise says which and why"
        )
    if not keep_labels:
        names = in_threads(lambda case: _pseudonym_of(case, reference), cases)
        unreadable, known = names.count(None), [name for name in names if name is not None]
        if unreadable:
            have = "has" if unreadable == 1 else "have"
            raise InputNotFoundError(
                f"{unreadable} of {counted(len(cases), 'case')} {have} a scan that cannot be read, "
                "and so no pseudonym; the same without --anonymise says which"
            )
        twice = [name for name, count in Counter(known).items() if count > 1]
        if twice:
            raise DataError(
                f"{len(twice)} {'scan is' if len(twice) == 1 else 'scans are'} in more than one "
                f"case ({twice[0]}): give each one once; "
                "sha256sum tells which they are"
            )
        below = "/anat" if cohort.kind == "bids" else ""
        cases = [
            replace(case, name=name, prefix=name + _space(case), folder=name + below)
            for case, name in zip(cases, known, strict=True)
        ]
    left_out = f"{counted(len(cohort.notes), 'note')} on files that were left out: see --dry-run"
    return replace(
        cohort,
        cases=tuple(sorted(cases, key=lambda case: case.name)),
        notes=(left_out,) if cohort.notes else (),
    )


def _space(case: Case) -> str:
    """Give the space of a case's results, which names nobody."""
    return space_of(case.prefix, "")


def check_unnamed(output: Path) -> None:
    """Refuse an output folder that holds results with names: its tables would tell them.

    Raises
    ------
    CannotCreateError
        There is such a record.
    """
    for folder, _, names in os.walk(output):
        for name in names:
            if name.endswith((RECORD_ENDING, ERROR_ENDING)) and _is_named(Path(folder) / name):
                raise CannotCreateError(
                    f"{output}: holds results that are not anonymised: give a folder of its own"
                )


def _pseudonym_of(case: Case, reference: str | None) -> str | None:
    chosen = reference if reference in case.images else order_modalities(case.images)[0]
    try:
        return pseudonym(case.images[str(chosen)])
    except StrokesegError:
        return None


def _is_named(path: Path) -> bool:
    try:
        return read_json(path).get("anonymised") is not True
    except StrokesegError:  # cut short by a fault: it will be made anew
        return False
