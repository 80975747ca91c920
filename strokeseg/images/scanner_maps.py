"""Maps that a scanner made and stored as several volumes: which one is meant, by the sidecar.

A sidecar tells volumes apart by a list with an entry for each: ``Volumes`` (names, or mappings
with one), ``ImageType`` (a list of lists), or b-values.
"""
# mypy: untyped-calls-exclude=nibabel

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np

from strokeseg.errors import DataError, StrokesegError
from strokeseg.files.json_files import read_json
from strokeseg.images.file_names import is_itk_name, is_mgh_name, without_ending
from strokeseg.images.header import read_header
from strokeseg.images.reading import Volume, read_scan

_WORDS = {
    "adc": re.compile(r"(?<![a-z])e?adc(?![a-z])|apparent.?diffusion", re.IGNORECASE),
    "dwi": re.compile(r"trace|isodwi|diffusion.?weighted|(?<![a-z])dwi(?![a-z])", re.IGNORECASE),
}
# Exponential ADC is another map.
_NOT = re.compile(r"(?<![a-z])eadc(?![a-z])|exp", re.IGNORECASE)
_NAMES = ("Name", "Description", "Type")
# A flat list of types is that of the whole image.
_LISTS = {"Volumes": (str, dict), "ImageType": (list,)}
_B_VALUES = ("DiffusionBValue", "BValue", "BValues", "bval", "bvals")
_LARGEST_B0 = 50.0


def read_told_volume(modality: str, path: Path, b_value: float) -> Volume | None:
    """Read the volume of an ADC or trace image of several that its sidecar names.

    Parameters
    ----------
    modality : str
        ``adc`` or ``dwi``; of others nothing is told.
    path : Path
        The image.
    b_value : float
        Of the trace image that is wanted, in s/mm2.

    Returns
    -------
    Volume or None
        None for an image of one volume.

    Raises
    ------
    DataError
        It has several volumes, and the sidecar does not say which one is meant.
    """
    other = is_itk_name(path.name) or is_mgh_name(path.name)
    if modality not in _WORDS or other or not path.is_file():
        return None
    try:
        shape = read_header(path).shape
    except StrokesegError:  # whoever reads it tells that better
        return None
    count = int(np.prod(shape[3:], dtype=object)) if len(shape) > 3 else 1
    if count < 2 or len([size for size in shape[3:] if size > 1]) != 1:
        return None
    sidecar = path.with_name(f"{without_ending(path.name)}.json")
    said = read_json(sidecar) if sidecar.is_file() else {}
    number = _number(modality, said, count, b_value)
    if number is None:
        known = "its sidecar does not say which" if said else "there is no sidecar to say which"
        raise DataError(
            f"{path}: holds {count} volumes, and {known} is {modality}: extract the one that is, "
            f"e.g. volume 0 with `fslroi {path} volume.nii.gz 0 1`"
        )
    loaded = cast("nib.Nifti1Image", nib.load(path))
    data = np.asarray(loaded.dataobj, dtype=np.float32).reshape(*shape[:3], count)[..., number]
    header = loaded.header.copy()
    header.set_data_dtype(np.float32)
    header.set_slope_inter(1, 0)
    made = read_scan(nib.Nifti1Image(data, loaded.affine, header))
    told = f"volume {number} of {count} (0 to {count - 1}), by its sidecar"
    return replace(made, path=path, warnings=(*made.warnings, told))


def _number(modality: str, said: Mapping[str, Any], count: int, b_value: float) -> int | None:
    """Find the one volume that a sidecar gives the right name, or of a trace the right b-value."""
    for key, kinds in _LISTS.items():
        entries = said.get(key)
        if not isinstance(entries, list) or len(entries) != count:
            continue
        if all(isinstance(one, kinds) for one in entries):
            names = [_name(entry) for entry in entries]
            fits = [i for i, n in enumerate(names) if _WORDS[modality].search(n)]
            fits = [i for i in fits if not _NOT.search(names[i])]
            if len(fits) == 1:
                return fits[0]
    if modality != "dwi":
        return None
    for key in _B_VALUES:
        values = said.get(key)
        if isinstance(values, list) and len(values) == count and _are_numbers(values):
            return _nearest(values, b_value)
    return None


def _name(entry: Any) -> str:  # noqa: ANN401 - whatever JSON can hold
    if isinstance(entry, Mapping):
        return " ".join(str(entry[key]) for key in _NAMES if key in entry)
    return " ".join(map(str, entry)) if isinstance(entry, list) else str(entry)


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)


def _nearest(values: Sequence[float], b_value: float) -> int | None:
    """Give the one weighted volume whose b-value is nearest; None where two are as near."""
    weighted = [value for value in values if value > _LARGEST_B0]
    if not weighted:
        return None
    nearest = min(weighted, key=lambda value: abs(value - b_value))
    fits = [index for index, value in enumerate(values) if value == nearest]
    return fits[0] if len(fits) == 1 else None
