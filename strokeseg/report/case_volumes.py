"""The volumes of a case on the reference's grid, read from where the record says they lie."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from strokeseg.arrays import AnyArray, BoolArray, FloatArray, LabelArray
from strokeseg.errors import StrokesegError
from strokeseg.images.intensity import as_seen
from strokeseg.images.reading import Volume, read
from strokeseg.report.facts import CaseFacts, is_anonymised
from strokeseg.results.archive import is_reference, reference_places
from strokeseg.space.grid import Grid

_MOST_LABEL = 255


@dataclass(frozen=True, eq=False)
class Stack:
    """What the viewer can show of a case; None where it is not to be had.

    Attributes
    ----------
    grid : Grid
        Of every array.
    scan : (I, J, K) float32 array or None
        The reference scan.
    mask : (I, J, K) bool array or None
        The lesion.
    probability : (I, J, K) float32 array or None
        Of the lesion.
    tissue : (I, J, K) uint8 array or None
        The classes.
    """

    grid: Grid
    scan: FloatArray | None = None
    mask: BoolArray | None = None
    probability: FloatArray | None = None
    tissue: LabelArray | None = None


def read_stack(facts: CaseFacts, output: Path) -> tuple[Stack | None, list[str]]:
    """Read a case's volumes, and say in a line each what is missing or unusual.

    Parameters
    ----------
    facts : CaseFacts
        A case with a record.
    output : Path
        The cohort's output folder; relative paths of inputs are looked for from it too.

    Returns
    -------
    stack, notes : Stack or None, list of str
        None where there is nothing to show.
    """
    names = facts.case.names
    notes: list[str] = []
    grid: Grid | None = None
    kept: dict[str, AnyArray] = {}
    # One after the other, each in the type that it has, so that a large case fits into memory.
    for layer in ("mask", "probability", "tissue", "scan"):
        if layer == "scan":
            volume = _read_scan(facts, output, notes)
        else:
            volume = _read_output(facts, getattr(names, layer), notes)
        if volume is None:
            continue
        grid = grid or volume.grid
        if volume.grid.same_as(grid):
            kept[layer] = _typed(layer, volume.data, facts)
        else:
            where = volume.path.name if volume.path else layer
            notes.append(f"{where} is not on the grid of the results and is not shown.")
    return (None if grid is None else Stack(grid, **kept)), notes


def places_of_scan(facts: CaseFacts, output: Path) -> list[Path]:
    """Say where the reference scan can lie; a relative path may be from another folder.

    Parameters
    ----------
    facts : CaseFacts
        The case, whose record names the scan.
    output : Path
        The cohort's output folder.
    """
    folders = (Path(), output, output.parent, facts.case.names.directory)
    return reference_places(facts.record, folders)


def _typed(layer: str, data: FloatArray, facts: CaseFacts) -> AnyArray:
    """Give a volume the type that it has."""
    if layer == "mask":
        return np.asarray(data > 0.5)
    if layer == "tissue":
        return np.clip(np.rint(data), 0, _MOST_LABEL).astype(np.uint8)
    if layer == "scan":
        return as_seen(facts.record.reference or "", data)
    return data


def _read_output(facts: CaseFacts, path: Path, notes: list[str]) -> Volume | None:
    """Read a result; a note where it should be there and is not, or cannot be read."""
    if not path.is_file():
        if path.name in (facts.record.files or {}):
            notes.append(f"{path.name} is missing: it was there when the record was written.")
        return None
    return _read(path, notes)


def _read_scan(facts: CaseFacts, output: Path, notes: list[str]) -> Volume | None:
    """Find and read the scan that the results are on the grid of."""
    places = places_of_scan(facts, output)
    if not places:
        why = "is anonymised and " if is_anonymised(facts) else ""
        notes.append(f"The scan is not shown: the record {why}does not say where it lies.")
        return None
    here = [path for path in places if _is_file(path)]
    if not here:
        notes.append(f"The scan is not shown: there is no file {places[0]} any more.")
        return None
    same = next((path for path in here if is_reference(path, facts.record)), None)
    if same is None:
        notes.append(f"The scan is not shown: {here[0]} is not the file that was segmented.")
        return None
    return _read(same, notes)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file system takes
        return False


def _read(path: Path, notes: list[str]) -> Volume | None:
    try:
        return read(path, scan=False)
    except StrokesegError as error:
        notes.append(f"{path.name} is not shown: {error}")
        return None
