"""DICOM in: a folder, a zip or a file becomes NIfTI by dcm2niix, in a folder of its own.

dcm2niix does the work that scanners make hard: enhanced and classic files, mosaics, gantry tilt,
uneven slices. What its sidecars say, without names and dates of patients, tells the series apart.
"""

import json
import os
import re
import subprocess  # nosec B404
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from shutil import copyfileobj
from tempfile import TemporaryDirectory
from typing import Any

from strokeseg.errors import DataError, EngineError, InputNotFoundError, StrokesegError
from strokeseg.images.dicom_text import remove_comments
from strokeseg.images.file_names import is_image_name, without_ending
from strokeseg.images.header import read_header
from strokeseg.images.twins import without_twins

_MAGIC, _MAGIC_AT = b"DICM", 128
_LOOKED_AT = 200
_LARGEST_ZIP_BYTES = 64 << 30
_WORDS = (
    ("adc", r"adc|apparent"),
    ("dwi", r"dwi|trace|diff|dti|ep2d_d"),
    ("flair", r"flair|tirm|dark.?fluid"),
    ("t1", r"t1|mp?rage|spgr|bravo|tfl"),
    ("t2", r"t2"),
    ("pd", r"(?<![a-z])pd"),
)
_SCANNER = {
    "field_strength_t": "MagneticFieldStrength",
    "slice_timing_s": "SliceTiming",
    "manufacturer": "Manufacturer",
    "echo_time_s": "EchoTime",
    "repetition_time_s": "RepetitionTime",
}
_BIDS = {"T1w": "t1", "T2w": "t2", "FLAIR": "flair", "PDw": "pd", "dwi": "dwi", "ct": "ct"}


@dataclass(frozen=True)
class Series:
    """One series that was converted.

    Parameters
    ----------
    path : Path
        The NIfTI file.
    number : int or None
        Of the series, as the scanner counts.
    description : str
        What the scanner calls it.
    modality : str or None
        What it seems to be, one of `MODALITIES`.
    shape : tuple of int
        Of the image.
    sidecar : mapping
        What dcm2niix says of it.
    """

    path: Path
    number: int | None
    description: str
    modality: str | None
    shape: tuple[int, ...]
    sidecar: Mapping[str, Any] = field(repr=False)

    @property
    def scanner(self) -> dict[str, Any]:
        """How it was acquired, as far as its sidecar says."""
        told = {name: self.sidecar.get(key) for name, key in _SCANNER.items()}
        known = {name: value for name, value in told.items() if value is not None}
        return {"series": self.number, **known}

    def row(self) -> tuple[str, str, str, str]:
        """Give number, description, modality and shape, for a table."""
        number = "?" if self.number is None else str(self.number)
        return number, self.description, self.modality or "?", " x ".join(map(str, self.shape))


def is_dicom(path: Path) -> bool:
    """Tell whether a path leads to DICOM: a file, a zip with some, or a folder with some below."""
    if path.is_dir():
        files = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
        return any(_starts_so(file) for file in islice(files, _LOOKED_AT))
    return path.is_file() and (zipfile.is_zipfile(path) or _starts_so(path))


def convert_dicom(source: Path, target: Path) -> tuple[Series, ...]:
    """Convert every series of a DICOM folder, zip or file; the source is only read.

    Parameters
    ----------
    source : Path
        What to convert.
    target : Path
        A folder that is there and empty, for NIfTI, JSON, b-values and directions.

    Returns
    -------
    tuple of Series
        By their numbers; of scans that dcm2niix wrote twice (gantry tilt, uneven slices) the one
        with the right geometry.

    Raises
    ------
    InputNotFoundError
        There is nothing.
    DataError
        It holds no DICOM, or nothing that can be converted.
    EngineError
        dcm2niix is not installed.
    """
    if not source.exists():
        raise InputNotFoundError(f"{source}: no such file or folder; check the path")
    with TemporaryDirectory(prefix="strokeseg-dicom-") as private:
        folder, only = source, tuple[str, ...]()
        if source.is_file():
            folder = Path(private)
            if zipfile.is_zipfile(source):
                _unpack(source, folder)
            else:
                folder, only = source.parent, ("-s", "y", str(source))
        words = [*_program(), "-z", "y", "-b", "y", "-ba", "y", "-f", "%s_%d", "-o", str(target)]
        done = subprocess.run(  # noqa: S603  # nosec B603 # a list of words, no shell
            [*words, *(only or (str(folder),))], capture_output=True, text=True, check=False
        )
    found = [path.name for path in sorted(target.iterdir()) if is_image_name(path.name)]
    if not found:
        said = [line for line in done.stdout.splitlines() if re.match(r"Error|Warning", line)]
        what = "is a zip that holds" if source.is_file() and zipfile.is_zipfile(source) else "holds"
        raise DataError(
            f"{source}: {what} no DICOM that can be converted"
            + (f" ({said[-1]})" if said else "")
            + "; give the folder of a series, or NIfTI, unpacked"
        )
    remove_comments(target)
    kept, _ = without_twins(found)
    series = [_describe(target / name, target) for name in kept]
    return tuple(sorted(series, key=lambda one: (one.number is None, one.number, one.path.name)))


def choose_series(
    source: Path, series: Sequence[Series], modality: str, number: int | None = None
) -> Series:
    """Choose the series that a modality means: the only one, what seems to be it, or by number.

    Raises
    ------
    DataError
        There is none, or there are several; the message shows them.
    """
    fitting = [one for one in series if number is None or one.number == number]
    if len(fitting) > 1:
        fitting = [one for one in fitting if one.modality == modality] or fitting
    if len(fitting) > 1:
        fitting = [one for one in fitting if len(one.shape) == 3] or fitting
    if len(fitting) == 1:
        return fitting[0]
    told = "; ".join(" ".join(one.row()) for one in series)
    raise DataError(
        f"{source}: holds {len(series)} series (number, description, contrast, shape): {told}; "
        f"choose one by --series {modality}=NUMBER"
    )


def _starts_so(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] == _MAGIC
    except OSError:
        return False


def _program() -> list[str]:
    """Give the converter's path."""
    try:
        import dcm2niix
    except ImportError as error:
        raise EngineError("dcm2niix is not installed: pip install dcm2niix") from error
    return [str(dcm2niix.bin)]


def _unpack(source: Path, folder: Path) -> None:
    """Unpack the files of a zip under numbers, so that no name in it leads anywhere."""
    try:
        with zipfile.ZipFile(source) as archive:
            members = [one for one in archive.infolist() if not one.is_dir()]
            if sum(one.file_size for one in members) > _LARGEST_ZIP_BYTES:
                raise DataError(f"{source}: unpacks to over 64 GiB; unpack it, and give a folder")
            for number, one in enumerate(members):
                if PurePosixPath(one.filename).name.startswith("."):
                    continue
                with archive.open(one) as packed, (folder / f"{number:06d}").open("wb") as out:
                    copyfileobj(packed, out)
    except (zipfile.BadZipFile, RuntimeError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{source}: its zip is damaged or locked ({error}); unpack it") from error


def _describe(path: Path, folder: Path) -> Series:
    """Read what dcm2niix says of a file, or of its twin."""
    stem = without_ending(path.name)
    sidecar: dict[str, Any] = {}
    while stem and not sidecar:
        beside = folder / f"{stem}.json"
        if beside.is_file():
            sidecar = json.loads(beside.read_text(encoding="utf-8", errors="replace"))
        stem = stem[:-1]
    try:
        shape = tuple(size for size in read_header(path).shape)
    except StrokesegError:
        shape = ()
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    number = sidecar.get("SeriesNumber")
    name = sidecar.get("SeriesDescription") or sidecar.get("ProtocolName") or ""
    return Series(
        path=path,
        number=number if isinstance(number, int) else None,
        description=str(name),
        modality=_guess(sidecar, str(name), path),
        shape=shape,
        sidecar=sidecar,
    )


def _guess(sidecar: Mapping[str, Any], name: str, path: Path) -> str | None:
    """Tell what a series shows, by its kind of image before its name."""
    if sidecar.get("Modality") == "CT":
        return "ct"
    kinds = {str(word).upper() for word in sidecar.get("ImageType", ())}
    if "ADC" in kinds:
        return "adc"
    if kinds & {"DIFFUSION", "TRACEW"} or path.with_name(_stem(path) + ".bval").is_file():
        return "dwi"
    low = name.lower()
    named = next((modality for modality, word in _WORDS if re.search(word, low)), None)
    guess = sidecar.get("BidsGuess") or ("", "")
    suffix = str(guess[-1]).rpartition("_")[2]
    return named or _BIDS.get(suffix)


def _stem(path: Path) -> str:
    return without_ending(path.name)
