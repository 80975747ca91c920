"""The volumes of a case on the reference's grid, read from where the record says they lie."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from strokeseg.arrays import AnyArray, BoolArray, FloatArray, LabelArray
from strokeseg.errors import StrokesegError
from strokeseg.images.file_names import is_image_name
from strokeseg.images.intensity import as_seen
from strokeseg.images.maps import read_volume
from strokeseg.images.reading import Volume, read_map
from strokeseg.report.facts import CaseFacts, is_anonymised
from strokeseg.results.archive import input_places, is_input, is_reference, reference_places
from strokeseg.space.grid import Grid
from strokeseg.space.resample import resample_image, resample_labels

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
    uncertainty : (I, J, K) float32 array or None
        Entropy of the posterior, in nat.
    truth : (I, J, K) bool array or None
        The lesion as it was drawn by hand, where the cohort names such a mask.
    others : mapping
        The other scans that were segmented, by modality, on this grid; float32.
    """

    grid: Grid
    scan: FloatArray | None = None
    mask: BoolArray | None = None
    probability: FloatArray | None = None
    tissue: LabelArray | None = None
    uncertainty: FloatArray | None = None
    truth: BoolArray | None = None
    others: Mapping[str, FloatArray] = field(default_factory=dict)


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
    for layer in ("mask", "probability", "tissue", "uncertainty", "scan"):
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
    if grid is None:
        return None, notes
    truth, others = _read_truth(facts, grid, notes), _read_others(facts, output, grid, notes)
    return Stack(grid, truth=truth, others=others, **kept), notes


def _read_truth(facts: CaseFacts, grid: Grid, notes: list[str]) -> BoolArray | None:
    """Read the mask drawn by hand that a batch was told of, on any grid."""
    path = facts.record.truth
    if path is None:
        return None
    if not is_image_name(Path(path).name) or not _is_file(Path(path)):
        notes.append(f"The truth is not shown: there is no file {path} any more.")
        return None
    volume = _read(Path(path), notes)
    if volume is None:
        return None
    drawn = (volume.data > 0).astype(np.uint8)
    return np.asarray(resample_labels(drawn, volume.grid, grid) > 0)


def _read_others(
    facts: CaseFacts, output: Path, grid: Grid, notes: list[str]
) -> dict[str, FloatArray]:
    """Read the scans beside the reference, and bring them to its grid to be looked at."""
    found: dict[str, FloatArray] = {}
    for modality, entry in facts.record.inputs.items():
        places = input_places(entry, _folders(facts, output))
        if modality == facts.record.reference or not places:
            continue
        path = next((place for place in places if is_input(place, entry)), None)
        if path is None:
            notes.append(f"The {modality} is not shown: {places[0]} is not there as it was.")
            continue
        volume = _read(path, notes)
        if volume is not None:
            data = as_seen(modality, volume.data)
            found[modality] = resample_image(data, _moved(volume.grid, facts, modality), grid)
    return found


def _moved(grid: Grid, facts: CaseFacts, modality: str) -> Grid:
    """Give where a scan was moved to, if the prediction registered it to the reference."""
    entry = facts.record.registration.get(modality) or {}
    try:
        matrix = np.asarray(entry.get("matrix"), dtype=np.float64)
    except (TypeError, ValueError):
        return grid
    if entry.get("kept") is not True or matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        return grid
    return Grid(grid.shape, matrix @ grid.affine)


def places_of_others(facts: CaseFacts, output: Path) -> list[Path]:
    """Say where the scans beside the reference, and the truth, can lie."""
    places = [
        place
        for modality, entry in facts.record.inputs.items()
        if modality != facts.record.reference
        for place in input_places(entry, _folders(facts, output))
    ]
    return [*places, *([Path(facts.record.truth)] if facts.record.truth else [])]


def _folders(facts: CaseFacts, output: Path) -> tuple[Path, ...]:
    return (Path(), output, output.parent, facts.case.names.directory)


def places_of_scan(facts: CaseFacts, output: Path) -> list[Path]:
    """Say where the reference scan can lie; a relative path may be from another folder.

    Parameters
    ----------
    facts : CaseFacts
        The case, whose record names the scan.
    output : Path
        The cohort's output folder.
    """
    return reference_places(facts.record, _folders(facts, output))


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
    return _read(path, notes, read_volume if path == facts.case.names.uncertainty else _read_map)


def _read_map(path: Path) -> Volume:
    return read_map(path)


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


def _read(
    path: Path, notes: list[str], reader: Callable[[Path], Volume] = _read_map
) -> Volume | None:
    try:
        return reader(path)
    except StrokesegError as error:
        notes.append(f"{path.name} is not shown: {error}")
        return None
