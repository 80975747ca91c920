"""Scans as they arrive, wherever an image may stand: DICOM and diffusion series become a scan."""

import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from strokeseg.errors import DataError
from strokeseg.images.dicom import choose_series, convert_dicom, is_dicom
from strokeseg.images.diffusion_series import (
    USUAL_B,
    choose_shell,
    find_bvals,
    read_adc,
    read_bvals,
    read_trace,
)
from strokeseg.images.file_names import is_image_name
from strokeseg.images.modalities import MODALITIES
from strokeseg.images.reading import Source, Volume, read_scan
from strokeseg.images.scanner_maps import read_told_volume


def arrived(
    modality: str, source: Source, *, series: int | None = None, b_value: float = USUAL_B
) -> Source:
    """Give a scan that can be read: itself, or what is made of DICOM or of a diffusion series.

    Parameters
    ----------
    modality : str
        What it is to be.
    source : path, nibabel image, (array, affine) or Volume
        Of paths, a DICOM folder, zip or file is converted, and of ``dwi`` a series with b-values
        becomes its trace image; of an ADC or trace image of several volumes, the one that its
        sidecar names is taken.
    series : int, optional
        The number of the series, where DICOM holds several.
    b_value : float
        The shell of a diffusion series, in s/mm2.

    Raises
    ------
    StrokesegError
        It cannot be converted, holds several series, or is without diffusion weighting.
    """
    if not isinstance(source, str | os.PathLike) or not source:
        return source
    path = Path(source)
    if not is_image_name(path.name) and is_dicom(path):
        return _from_dicom(modality, path, series, b_value)
    return _made_of_several(modality, path, b_value) or source


def adc_of(source: Path, *, series: int | None = None, b_value: float = USUAL_B) -> Volume:
    """Compute ADC from a diffusion series, NIfTI with b-values or DICOM.

    Raises
    ------
    StrokesegError
        It is no such series, or has no volume of b 0.
    """

    def computed(path: Path) -> Volume:
        bvals = find_bvals(path)
        if bvals is None:
            raise DataError(
                f"{source}: has no .bval beside it, so ADC cannot be computed; give --adc FILE"
            )
        return read_adc(path, bvals, b_value)

    if is_image_name(source.name) or not is_dicom(source):
        return computed(source)
    with TemporaryDirectory(prefix="strokeseg-nifti-") as private:
        found = convert_dicom(source, Path(private))
        raw = [one for one in found if find_bvals(one.path) is not None] or found
        chosen = choose_series(source, raw, "dwi", series)
        return replace(computed(chosen.path), path=source, scanner=chosen.scanner)


def _from_dicom(modality: str, path: Path, series: int | None, b_value: float) -> Volume:
    """Convert DICOM, choose a series, and read it; nothing of it stays on disk."""
    with TemporaryDirectory(prefix="strokeseg-nifti-") as private:
        found = convert_dicom(path, Path(private))
        chosen = choose_series(path, found, modality, series)
        told_by_series = chosen.modality if modality not in MODALITIES else None
        scan = _made_of_several(told_by_series or modality, chosen.path, b_value) or read_scan(
            chosen.path
        )
        number = "" if chosen.number is None else f" {chosen.number}"
        told = (f"converted from DICOM, series{number} of {len(found)}",) if len(found) > 1 else ()
        warnings = (*scan.warnings, *told)
        return replace(scan, path=path, warnings=warnings, scanner=chosen.scanner)


def _made_of_several(modality: str, path: Path, b_value: float) -> Volume | None:
    """Make one volume of a series, or take the one that a sidecar names; None for one volume."""
    made = _from_diffusion(modality, path, b_value)
    return read_told_volume(modality, path, b_value) if made is None else made


def _from_diffusion(modality: str, path: Path, b_value: float) -> Volume | None:
    """Make the trace image of a series; None for what is none, or is made already."""
    bvals = find_bvals(path) if modality == "dwi" and path.is_file() else None
    if bvals is None:
        return None
    values = read_bvals(bvals)
    if len(values) == 1:
        choose_shell(path, values)
        return None
    return read_trace(path, bvals, b_value)
