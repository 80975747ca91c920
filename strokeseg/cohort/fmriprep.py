"""Lesion masks beside the raw T1w scans, under the one name that fMRIPrep takes.

fMRIPrep masks the lesion when it registers a brain to a template. It looks for
``sub-*[_ses-*]_label-lesion_roi.nii.gz`` in the `anat` folders of the dataset that it is given, on
the T1w's grid, and so these files are the only ones that strokeseg ever writes into a dataset.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from strokeseg.cohort.bids_derivative import FMRIPREP_ENDING, ignore
from strokeseg.cohort.cases.case import Case, Cohort
from strokeseg.errors import CannotCreateError, DataError, StrokesegError
from strokeseg.files.checksums import sha256
from strokeseg.files.json_files import read_json, write_json
from strokeseg.files.staging import Staging
from strokeseg.images.reading import read_map
from strokeseg.images.writing import write
from strokeseg.results.archive import error_path
from strokeseg.results.output_names import OutputNames
from strokeseg.space.resample import resample_labels

ROI_ENDING = "_label-lesion_roi.nii.gz"

_End = Literal["written", "kept", "no lesion"]
_T1W = re.compile(r"(sub-[^_]+(?:_ses-[^_]+)?)(?:_.*)?_T1w\.nii(?:\.gz)?")


@dataclass(frozen=True)
class Rois:
    """What lies beside T1w scans now.

    Attributes
    ----------
    written : tuple of Path
        Masks of this run, and those of earlier runs that are still right.
    kept : tuple of Path
        Masks of somebody else, or edited since; they were not touched.
    failed : tuple of str
        One line for each case whose mask could not be written.
    without : tuple of str
        One line for each case that needs none, or has no T1w or no result.
    """

    written: tuple[Path, ...]
    kept: tuple[Path, ...]
    failed: tuple[str, ...]
    without: tuple[str, ...] = ()


def prepare_rois(bids_dir: Path) -> None:
    """Let a dataset's .bidsignore name the masks, as its validation would stop fMRIPrep else.

    Raises
    ------
    CannotCreateError
        The dataset may not be written in.
    """
    try:
        with Staging(bids_dir):  # a folder made and removed again: .bidsignore may be right already
            ignore(bids_dir, (f"*{ROI_ENDING}",))
    except CannotCreateError as error:
        raise CannotCreateError(
            f"{bids_dir}: --fmriprep-roi writes beside the raw T1w, and nothing can be written "
            "there: leave it out, or mount the dataset to be written in"
        ) from error


def write_rois(cohort: Cohort, output: Path) -> Rois:
    """Write the mask of every finished case that has a T1w beside that T1w, on its grid.

    A mask that lies there and was made or changed by somebody else stays as it is. Where no
    lesion was found, none is written, and one of an earlier run is removed.

    Parameters
    ----------
    cohort
        Cases of a BIDS dataset.
    output
        Where their results are.
    """
    ends: dict[_End, list[Path]] = {"written": [], "kept": [], "no lesion": []}
    failed, without = [], []
    for case in cohort.cases:
        names = OutputNames.for_prefix(output / case.folder, case.prefix)
        done = names.mask.exists() and names.record.exists() and not error_path(names).exists()
        if "t1" not in case.images or not done:
            why = "it has no result" if "t1" in case.images else "it has no T1w"
            without.append(f"{case.name}: no mask for fMRIPrep: {why}")
            continue
        try:
            target = roi_path(case.images["t1"])
            end = _write_roi(case, names, target)
            ends[end].append(target)
            if end == "no lesion":
                without.append(f"{case.name}: no mask for fMRIPrep: no lesion was found")
        except StrokesegError as error:
            failed.append(f"{case.name}: no mask for fMRIPrep: {error}")
    return Rois(tuple(ends["written"]), tuple(ends["kept"]), tuple(failed), tuple(without))


def roi_path(t1w: Path) -> Path:
    """Name the mask that belongs beside a T1w.

    Raises
    ------
    DataError
        The scan does not have a T1w's name.
    """
    named = _T1W.fullmatch(t1w.name)
    if named is None:
        raise DataError(f"{t1w}: is not named as a T1w of BIDS; name it sub-LABEL_T1w.nii.gz")
    return t1w.with_name(named[1] + ROI_ENDING)


def _write_roi(case: Case, names: OutputNames, target: Path) -> _End:
    """Bring one mask beside its T1w."""
    made = names.record.with_name(f"{case.prefix}{FMRIPREP_ENDING}")
    before = read_json(made) if made.exists() else {}
    here = sha256(target) if target.exists() else None
    came_from = {"mask": sha256(names.mask), "t1w": sha256(case.images["t1"])}
    if here and here == before.get("sha256") and came_from == before.get("made_from"):
        return "written"
    t1w, mask = read_map(case.images["t1"]), read_map(names.mask)
    if not mask.grid.overlaps(t1w.grid):
        raise DataError(f"{case.images['t1']}: shares no space with {names.mask}")
    roi = resample_labels((mask.data > 0).astype(np.uint8), mask.grid, t1w.grid)
    with Staging(target.parent) as staging:
        new = staging.path_for(target.name)
        write(new, roi, t1w)
        now = sha256(new)
        if here not in (None, now, before.get("sha256")):
            return "kept"
        if roi.any():
            staging.commit()
    if not roi.any():
        target.unlink(missing_ok=True)
        made.unlink(missing_ok=True)
        return "no lesion"
    write_json(made, {"roi": target.name, "sha256": now, "made_from": came_from})
    return "written"
