"""The lesion map of a cohort: in how many cases each place is lesion, and how that was found."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from strokeseg._version import __version__
from strokeseg.arrays import FloatArray
from strokeseg.errors import DataError, StrokesegError
from strokeseg.files.atomic import write_atomically, write_text
from strokeseg.files.checksums import sha256
from strokeseg.files.json_files import write_json
from strokeseg.files.staging import Staging
from strokeseg.files.tables import table
from strokeseg.images.reading import Volume, read_map
from strokeseg.images.writing import write
from strokeseg.lesion_map.backdrop import Backdrop, find_backdrop
from strokeseg.lesion_map.common_space import Placed, SpaceChoice, lay_out
from strokeseg.lesion_map.heat_picture import draw_heat
from strokeseg.results.archive import PICTURE_NAME, FiledCase
from strokeseg.space.grid import Grid
from strokeseg.space.mni import MNI_CODE
from strokeseg.space.resample import resample_labels

COUNT_NAME = "overlap_count.nii.gz"
PERCENT_NAME = "overlap_percent.nii.gz"
TABLE_NAME = "overlap.tsv"
RECORD_NAME = "overlap.json"
NAMES = (COUNT_NAME, PERCENT_NAME, PICTURE_NAME, TABLE_NAME, RECORD_NAME)

SCHEMA = 1
_COLUMNS = ("case", "used", "how", "lesion_ml", "lesion_on_map_ml", "note")
_PARTICIPANT = re.compile(r"sub-[^_]+")

Counts = npt.NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class MappedCase:
    """A case on the map, and its lesion's volume on its own grid and there."""

    placed: Placed
    sha256: str
    lesion_ml: float
    lesion_on_map_ml: float
    doubts: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class LesionMap:
    """In how many cases each voxel of a common grid is lesion.

    Attributes
    ----------
    count : (I, J, K) int16 array
        Number of cases.
    grid, space
        Where the voxels lie, and what that space is called.
    members : tuple of MappedCase
        The cases that went in.
    skipped : mapping
        Why each other case did not.
    backdrop : Backdrop or None
        A brain in the same space, to draw on.
    doubts : tuple of str
        What to mind of the whole.
    """

    count: Counts
    grid: Grid
    space: str
    members: tuple[MappedCase, ...]
    skipped: dict[str, str]
    backdrop: Backdrop | None
    doubts: tuple[str, ...]

    @property
    def percent(self) -> FloatArray:
        """Percentage of the cases that went in, (I, J, K) float32."""
        share: FloatArray = self.count.astype(np.float32) * np.float32(100 / len(self.members))
        return share


def make_map(
    cases: Sequence[FiledCase],
    wish: SpaceChoice,
    *,
    background: Path | None = None,
    tick: Callable[[str], None] = lambda _: None,
) -> LesionMap:
    """Sum the masks of many cases in a common space.

    Parameters
    ----------
    cases
        From `strokeseg.results.archive.find_filed_cases`.
    wish
        What the user said of the space.
    background
        A brain in the space of the map, to draw on; else one is made of the cases.
    tick
        Is told each case as it is done.

    Raises
    ------
    DataError
        No case can be put on a map.
    """
    layout = lay_out(cases, wish)
    count = np.zeros(layout.grid.shape, dtype=np.int16)
    members, skipped = [], dict(layout.skipped)
    for placed in layout.placed:
        try:
            members.append(_add(count, placed, layout.grid))
        except StrokesegError as error:
            skipped[placed.case.name] = str(error)
        tick(placed.case.name)
    if not members:
        name, reason = next(iter(skipped.items()))
        raise DataError(f"{name}: {reason}")
    there = [member.placed for member in members]
    backdrop = find_backdrop(there, layout.grid, background)
    doubts = (*layout.doubts, *_twice(there))
    return LesionMap(count, layout.grid, layout.space, tuple(members), skipped, backdrop, doubts)


def save_map(lesion_map: LesionMap, directory: Path) -> tuple[Path, ...]:
    """Write both images, the picture, the table and the record, all of them or none.

    Raises
    ------
    CannotCreateError, ReadWriteError
        The folder cannot be written in, or writing failed half-way.
    """
    like = _template(lesion_map)
    with Staging(directory, last=RECORD_NAME) as staging:
        write(staging.path_for(COUNT_NAME), lesion_map.count, like)
        write(staging.path_for(PERCENT_NAME), lesion_map.percent, like)
        write_atomically(staging.path_for(PICTURE_NAME), [picture(lesion_map)])
        write_text(staging.path_for(TABLE_NAME), table(_COLUMNS, _rows(lesion_map)))
        write_json(staging.path_for(RECORD_NAME), record(lesion_map))
        return staging.commit()


def picture(lesion_map: LesionMap) -> bytes:
    """Draw the map as a PNG."""
    cases = len(lesion_map.members)
    most = int(lesion_map.count.max())
    noun = "case" if cases == 1 else "cases"
    about = f"{cases} {noun}, {most} at most in one place ({100 * most / cases:.0f} %)"
    drawn = lesion_map.backdrop
    title = f"Lesion map on {lesion_map.space}"
    return draw_heat(
        lesion_map.count, lesion_map.grid, drawn.image if drawn else None, title, about
    )


def record(lesion_map: LesionMap) -> dict[str, Any]:
    """Say how the map was made, as plain values."""
    return {
        "schema": SCHEMA,
        "strokeseg": __version__,
        "space": lesion_map.space,
        "shape": list(lesion_map.grid.shape),
        "affine": lesion_map.grid.affine,
        "number_of_cases": len(lesion_map.members),
        "greatest_count": int(lesion_map.count.max()),
        "background": lesion_map.backdrop.about if lesion_map.backdrop else None,
        "warnings": list(lesion_map.doubts),
        "cases": [_mapped_record(member) for member in lesion_map.members],
        "skipped": [{"case": name, "reason": why} for name, why in lesion_map.skipped.items()],
    }


def _add(count: Counts, placed: Placed, grid: Grid) -> MappedCase:
    """Add one mask to the sum."""
    path = placed.case.names.mask
    volume = read_map(path)
    mask = (volume.data > 0).astype(np.uint8)
    moved = resample_labels(mask, placed.moved, grid)
    count += moved
    here, there = (
        float(np.count_nonzero(array)) * at.voxel_volume_ml
        for array, at in ((mask, placed.grid), (moved, grid))
    )
    lost = here > 0 and there == 0
    doubts = ("its lesion lies outside the map or is too small for it",) if lost else ()
    return MappedCase(placed, sha256(path), here, there, (*placed.doubts, *doubts))


def _twice(placed: Sequence[Placed]) -> tuple[str, ...]:
    """Say which participants are in more than once."""
    names = [_PARTICIPANT.match(one.case.name) for one in placed]
    several = [name for name, n in Counter(name[0] for name in names if name).items() if n > 1]
    if not several:
        return ()
    return (f"more than one session is counted of {', '.join(several)}",)


def _template(lesion_map: LesionMap) -> Volume:
    """Give what the images' headers are made of: an affine, and its meaning."""
    blank = np.zeros(lesion_map.grid.shape, dtype=np.float32)
    like = read_map((blank, lesion_map.grid.affine))
    if not lesion_map.space.upper().startswith("MNI"):
        return like
    fields = deepcopy(like.header.nifti)
    fields["sform_code"] = fields["qform_code"] = MNI_CODE
    header = replace(like.header, nifti=fields, sform_code=MNI_CODE, qform_code=MNI_CODE)
    return replace(like, header=header)


def _rows(lesion_map: LesionMap) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (
            member.placed.case.name,
            "yes",
            member.placed.how,
            f"{member.lesion_ml:.4f}",
            f"{member.lesion_on_map_ml:.4f}",
            "; ".join(member.doubts),
        )
        for member in lesion_map.members
    ]
    rows += [(name, "no", "", "", "", why) for name, why in lesion_map.skipped.items()]
    return sorted(rows)


def _mapped_record(member: MappedCase) -> dict[str, Any]:
    return {
        "case": member.placed.case.name,
        "mask": member.placed.case.names.mask.name,
        "sha256": member.sha256,
        "how": member.placed.how,
        "affine": member.placed.to_map,
        "lesion_ml": member.lesion_ml,
        "lesion_on_map_ml": member.lesion_on_map_ml,
        "warnings": list(member.doubts),
    }
