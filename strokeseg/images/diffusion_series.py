"""Diffusion as it is acquired: many volumes and their b-values become a trace image and ADC."""
# mypy: untyped-calls-exclude=nibabel

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np

from strokeseg.arrays import FloatArray
from strokeseg.errors import DataError
from strokeseg.images.file_names import without_ending
from strokeseg.images.reading import Volume, read_scan

USUAL_B = 1000.0
LARGEST_B0 = 50.0
_ENDINGS = (".bval", ".bvals")
_SHELL = 100.0
_HIGHEST_LEVELS = 5
_ADC_UNITS = 1e6
_LARGEST_ADC = 10_000.0
_DESCRIPTION = "dataset_description.json"


@dataclass(frozen=True)
class Shell:
    """The volumes of a series that have about one b-value, and those without weighting."""

    b_value: float
    weighted: tuple[int, ...]
    unweighted: tuple[int, ...]


def find_bvals(image: Path) -> Path | None:
    """Find the b-values of an image: beside it, or above it as BIDS inherits them."""
    stem = without_ending(image.name)
    beside = [image.with_name(stem + ending) for ending in _ENDINGS]
    found = next((path for path in beside if path.is_file()), None)
    if found is not None or not stem.endswith("_dwi"):
        return found
    words = set(stem.split("_"))
    for folder in image.absolute().parents[:_HIGHEST_LEVELS]:
        for path in sorted(folder.glob("*dwi.bval")):
            if set(path.name.removesuffix(".bval").split("_")) <= words:
                return path
        if (folder / _DESCRIPTION).exists():
            break
    return None


def read_bvals(path: Path) -> tuple[float, ...]:
    """Read b-values, in s/mm2.

    Raises
    ------
    DataError
        If they are no numbers.
    """
    try:
        return tuple(float(word) for word in path.read_text().replace(",", " ").split())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: holds no b-values ({error}); convert the series again") from error


def is_series(image: Path) -> bool:
    """Tell whether an image has b-values that can be read, some of them weighted."""
    bvals = find_bvals(image)
    try:
        values = () if bvals is None else read_bvals(bvals)
    except DataError:
        return False
    return len(values) > 1 and max(values) > LARGEST_B0


def choose_shell(image: Path, values: tuple[float, ...], wanted: float = USUAL_B) -> Shell:
    """Choose the volumes whose b-value is nearest to the one that is wanted; never b 0.

    Raises
    ------
    DataError
        If no volume is weighted.
    """
    weighted = [value for value in values if value > LARGEST_B0]
    if not weighted:
        listed = ", ".join(f"{value:g}" for value in dict.fromkeys(values))
        raise DataError(
            f"{image}: is without diffusion weighting (b {listed}): it shows no acute stroke; give "
            "the images of b near 1000, or it as --t2"
        )
    nearest = min(weighted, key=lambda value: abs(value - wanted))
    inside = tuple(i for i, v in enumerate(values) if v > LARGEST_B0 and abs(v - nearest) <= _SHELL)
    mean = float(np.mean([values[index] for index in inside]))
    unweighted = tuple(i for i, v in enumerate(values) if v <= LARGEST_B0)
    return Shell(mean, inside, unweighted)


def read_trace(image: Path, bvals: Path, wanted: float = USUAL_B) -> Volume:
    """Make the trace image of a series: the geometric mean over the directions of one shell.

    Parameters
    ----------
    image : Path
        Many volumes.
    bvals : Path
        Their b-values.
    wanted : float
        The b-value of the shell, in s/mm2.

    Raises
    ------
    DataError
        If there is no weighted volume, or not one b-value for each.
    """
    data, header, shell = _read_series(image, bvals, wanted)
    trace = _geometric_mean(data, shell.weighted)
    count = len(shell.weighted)
    told = (
        f"made of a diffusion series: the geometric mean of {count} "
        f"{'volume' if count == 1 else 'volumes'} of b {shell.b_value:.0f}"
    )
    return _volume(trace, header, image, told)


def read_adc(image: Path, bvals: Path, wanted: float = USUAL_B) -> Volume:
    """Compute ADC from the volumes without weighting and one shell, in 1e-6 mm2/s.

    Raises
    ------
    DataError
        As `read_trace`; or if there is no volume without weighting.
    """
    data, header, shell = _read_series(image, bvals, wanted)
    if not shell.unweighted:
        raise DataError(
            f"{image}: has no volume of b 0, so ADC cannot be computed; give --adc FILE"
        )
    trace = _geometric_mean(data, shell.weighted)
    base = data[..., list(shell.unweighted)].mean(axis=3, dtype=np.float32)
    known = (trace > 0) & (base > 0)
    ratio = np.ones_like(trace)
    np.divide(base, trace, out=ratio, where=known)
    adc = np.log(ratio) * np.float32(_ADC_UNITS / shell.b_value)
    adc = np.clip(np.where(known, adc, 0), 0, _LARGEST_ADC).astype(np.float32)
    told = f"ADC computed from b 0 and b {shell.b_value:.0f}, in 1e-6 mm2/s"
    return _volume(adc, header, image, told)


def _read_series(
    image: Path, bvals: Path, wanted: float
) -> tuple[FloatArray, nib.Nifti1Image, Shell]:
    values = read_bvals(bvals)
    shell = choose_shell(image, values, wanted)
    loaded = cast("nib.Nifti1Image", nib.load(image))
    data = np.asarray(loaded.dataobj, dtype=np.float32)
    if data.ndim == 3:
        data = data[..., np.newaxis]
    if data.ndim != 4 or data.shape[3] != len(values):
        raise DataError(
            f"{image}: has shape {data.shape}, and {bvals.name} {len(values)} b-values; one for "
            "each volume is needed"
        )
    return np.nan_to_num(data), loaded, shell


def _geometric_mean(data: FloatArray, volumes: tuple[int, ...]) -> FloatArray:
    """Give the geometric mean over some volumes; 0 where one is not positive."""
    chosen = data[..., list(volumes)]
    positive = (chosen > 0).all(axis=3)
    logs = np.log(np.where(chosen > 0, chosen, 1)).mean(axis=3, dtype=np.float64)
    mean: FloatArray = np.where(positive, np.exp(logs), 0).astype(np.float32)
    return mean


def _volume(data: FloatArray, like: nib.Nifti1Image, image: Path, told: str) -> Volume:
    """Give an array as a scan on the grid of a series."""
    header = like.header.copy()
    header.set_data_dtype(np.float32)
    header.set_slope_inter(1, 0)
    made = read_scan(nib.Nifti1Image(data, like.affine, header))
    return replace(made, path=image, warnings=(*made.warnings, told))
