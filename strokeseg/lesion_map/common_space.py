"""Where masks of many heads can be laid on each other: a space that they share, or MNI152."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from strokeseg.arrays import AffineArray
from strokeseg.errors import DataError, StrokesegError
from strokeseg.images.header import read_header
from strokeseg.lesion_map.mni_fit import fit_to_mni
from strokeseg.results.archive import FiledCase
from strokeseg.space.grid import Grid, affine_problem
from strokeseg.space.mni import MNI_CODE, mni_grid

MNI = "MNI152"
UNNAMED = "the masks' own grid"
# How a case came to its place on the map; the record's words.
BY_GRID = "all masks have this grid"
BY_WORD = "said to be in this space"
BY_NAME = "space entity of the file name"
BY_HEADER = "header names MNI152"
BY_RECORD = "affine of --save mni"
BY_TISSUE = "affine from the tissue map"

_SCANNER_CODE = 1
_SPACE_ENTITY = re.compile(r"_space-([^_]+)")


@dataclass(frozen=True)
class SpaceChoice:
    """What a user said of the space of the map.

    Parameters
    ----------
    space
        All masks are in this space as they are; None to find out.
    align
        Bring every case to MNI152 by its tissue map, whatever space it seems to be in.
    voxel_size_mm
        Of the MNI152 grid, 1 or 2.
    """

    space: str | None = None
    align: bool = False
    voxel_size_mm: float = 1.0


@dataclass(frozen=True, eq=False)
class Placed:
    """A case and its place on the map: `to_map` brings its mask's mm to the map's mm."""

    case: FiledCase
    grid: Grid
    to_map: AffineArray
    how: str
    doubts: tuple[str, ...] = ()

    @property
    def moved(self) -> Grid:
        """The mask's grid in the space of the map."""
        return Grid(self.grid.shape, self.to_map @ self.grid.affine)


@dataclass(frozen=True, eq=False)
class Layout:
    """The map's space and grid, who is on it, why others are not, and what to mind."""

    space: str
    grid: Grid
    placed: tuple[Placed, ...]
    skipped: dict[str, str]
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Native:
    case: FiledCase
    grid: Grid
    space: str | None
    how: str
    code: int


def lay_out(cases: Sequence[FiledCase], wish: SpaceChoice) -> Layout:
    """Find a common space for as many cases as can be.

    In this order: the space that the user names; the one grid that all masks have; the one space
    that all file names or headers name; else MNI152, where masks that are there stay, and others
    are brought by the affine that `--save mni` found, or one from their tissue map.

    Raises
    ------
    DataError
        No case can be put on a map; the message says why for the first.
    """
    natives: list[_Native] = []
    skipped: dict[str, str] = {}
    for case in cases:
        try:
            natives.append(_look_at(case))
        except StrokesegError as error:
            skipped[case.name] = str(error)
    layout = _shared(natives, wish, skipped) or _to_mni(natives, wish, skipped)
    if not layout.placed:
        if not cases:
            raise DataError("the folder holds no case")
        name, reason = next(iter(layout.skipped.items()))
        raise DataError(
            f"{name}: {reason}" + (f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else "")
        )
    return layout


def _look_at(case: FiledCase) -> _Native:
    if case.error is not None:
        raise DataError(f"failed: {case.error.get('message', 'no reason given')}")
    path = case.names.mask
    if not path.exists():
        raise DataError(f"{path.name} is not there: run it again with --save mask")
    header = read_header(path)
    if len(header.shape) != 3:
        raise DataError(f"{path.name} has {len(header.shape)} axes and is no mask: run it again")
    i, j, k = header.shape
    grid = Grid((i, j, k), header.affine)
    code = header.space.sform_code or header.space.qform_code
    named = _SPACE_ENTITY.search(path.name)
    if named:
        return _Native(case, grid, named[1], BY_NAME, code)
    return _Native(case, grid, MNI if code == MNI_CODE else None, BY_HEADER, code)


def _shared(natives: list[_Native], wish: SpaceChoice, skipped: dict[str, str]) -> Layout | None:
    """Lay out masks that lie in one space as they are; None where they do not."""
    if wish.align or not natives:
        return None
    spaces = {native.space for native in natives}
    space = wish.space or (natives[0].space if len(spaces) == 1 else None)
    first = natives[0].grid
    one_grid = all(native.grid.same_as(first) for native in natives[1:])
    if space is None and not (one_grid and len(natives) > 1):
        return None
    in_mni = space is not None and space.upper().startswith("MNI")
    grid = first if one_grid or not in_mni else mni_grid(wish.voxel_size_mm)
    how = BY_WORD if wish.space else BY_GRID if space is None else natives[0].how
    doubts: tuple[str, ...] = ()
    if space is None and any(native.code == _SCANNER_CODE for native in natives):
        doubts = (
            "all masks have one grid and are taken to be in one space, though their headers say "
            "scanner space: use --align if they are not aligned",
        )
    placed = tuple(Placed(n.case, n.grid, np.eye(4), how) for n in natives)
    return Layout(space or UNNAMED, grid, placed, skipped, doubts)


def _to_mni(natives: list[_Native], wish: SpaceChoice, skipped: dict[str, str]) -> Layout:
    """Bring every case to MNI152 that is not there."""
    placed = []
    for native in natives:
        if native.space and native.space.upper().startswith("MNI") and not wish.align:
            placed.append(Placed(native.case, native.grid, np.eye(4), native.how))
            continue
        known = None if wish.align else _known_affine(native.case)
        if known is not None:
            placed.append(Placed(native.case, native.grid, known, BY_RECORD))
            continue
        try:
            affine, doubts = fit_to_mni(native.case)
            placed.append(Placed(native.case, native.grid, affine, BY_TISSUE, doubts))
        except StrokesegError as error:
            skipped[native.case.name] = str(error)
    return Layout(MNI, mni_grid(wish.voxel_size_mm), tuple(placed), skipped)


def _known_affine(case: FiledCase) -> AffineArray | None:
    """Give the affine to MNI152 that the case's record has, if it can be one."""
    rows = ((case.record.mni if case.record else None) or {}).get("matrix")
    try:
        affine = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return affine if affine_problem(affine) is None else None
