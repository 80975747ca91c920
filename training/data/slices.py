"""Real slices with lesion masks: read from one file of arrays, or from a folder of pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from scipy import ndimage

from strokeseg.arrays import AnyArray, BoolArray, FloatArray, LabelArray
from strokeseg.errors import DataError, InputNotFoundError
from strokeseg.images.plane import read_plane
from strokeseg.training.data.inputs import is_held_out, stem

# Which axis of (R, A, S) the slices of a plane lack.
PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
SPACING_MM = 1.0
LEAST_LESION_VOX = 4
ENDINGS = (".nii.gz", ".nii", ".png")
GREY_LEVELS = 254


@dataclass(frozen=True)
class Slices:
    """The slices of one plane.

    Parameters
    ----------
    plane
        A name of `PLANES`.
    images : (N, A, B) uint8
        1 mm voxels, 0 outside the brain; axes towards R or A, then A or S.
    lesions : (N, A, B) bool
        The masks.
    with_lesion, without : (M,) int
        Which slices show lesion, and which none.
    subjects
        Whose each slice is.
    """

    plane: str
    images: LabelArray
    lesions: BoolArray
    with_lesion: npt.NDArray[np.int64]
    without: npt.NDArray[np.int64]
    subjects: tuple[str, ...] = ()


def coarse_slice(plane: AnyArray, voxel_size_mm: float) -> FloatArray:
    """Average a slice (A, B) of 1 mm over voxels of a size, float32; what fills none is cut off."""
    step = round(voxel_size_mm / SPACING_MM)
    rows, columns = (size // step for size in plane.shape)
    blocks = plane[: rows * step, : columns * step].reshape(rows, step, columns, step)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


def read_slices(source: str, held_out: Sequence[str], *, wanted: bool) -> tuple[Slices, ...]:
    """Read slices of each plane.

    Parameters
    ----------
    source
        An `.npz` with `PLANE` (N, A, B) uint8, `PLANE_lesion` (packed bits) and `subject`; or a
        folder of 2D images (NIfTI or PNG of 1 mm), each beside its mask, which ends in `_mask`. A
        picture's plane is the one in its name (axial without), its first word the subject. Empty
        for none.
    held_out
        Patterns of subjects that training never sees.
    wanted
        Whether to give the held-out subjects' slices, or all others'.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    DataError
        It cannot be read, lacks an array or a mask, or nothing is left of it.
    """
    if not source:
        return ()
    path = Path(source)
    if path.is_dir():
        return _folder(path, held_out, wanted=wanted)
    if not path.is_file():
        raise InputNotFoundError(f"{path}: no such file of slices; give one in [data]")
    try:
        arrays = _arrays(path)
        subjects = [str(number) for number in arrays["subject"]]
        kept = np.array([is_held_out(name, held_out) == wanted for name in subjects])
        names = tuple(name for name, keep in zip(subjects, kept, strict=True) if keep)
        return tuple(
            _group(name, arrays[name][kept], _lesions(arrays, name)[kept], names)
            for name in PLANES
            if name in arrays
        )
    except (OSError, KeyError, ValueError, TypeError, IndexError, BadZipFile) as error:
        reason = "no .npz" if "pickle" in str(error) else error
        raise DataError(f"{source}: cannot be read as slices ({reason})") from error


def slice_subjects(source: str) -> frozenset[str]:
    """Name whose the slices are, of a source of `read_slices`, without reading the slices."""
    path = Path(source)
    if path.is_dir():
        return frozenset(stem(one).split("_")[0] for one in path.iterdir() if _is_picture(one))
    try:
        with path.open("rb") as stream, np.load(stream) as stored:
            return frozenset(str(name) for name in stored["subject"])
    except (OSError, KeyError, ValueError, TypeError, BadZipFile) as error:
        raise DataError(f"{source}: cannot be read as slices ({error})") from error


def _arrays(path: Path) -> dict[str, LabelArray]:
    """Read the arrays of an `.npz`, and check those of images."""
    with path.open("rb") as stream, np.load(stream) as stored:
        arrays = {name: stored[name] for name in stored.files}
    planes = [name for name in PLANES if name in arrays]
    if not planes:
        raise ValueError(f"none of the arrays {', '.join(PLANES)} is in it")
    for name in planes:
        images = arrays[name]
        if images.ndim != 3 or images.dtype != np.uint8:
            raise ValueError(f"{name} is {images.dtype} {images.shape}; needed is uint8 (N, A, B)")
        if len(arrays["subject"]) != len(images):
            raise ValueError(f"{len(arrays['subject'])} subjects for {len(images)} {name} slices")
    return arrays


def _lesions(arrays: dict[str, LabelArray], name: str) -> BoolArray:
    images = arrays[name]
    bits = np.unpackbits(arrays[f"{name}_lesion"])[: images.size]
    return bits.reshape(images.shape).astype(np.bool_)


def _group(name: str, images: LabelArray, lesions: BoolArray, subjects: tuple[str, ...]) -> Slices:
    if not len(images):
        raise DataError(f"no {name} slice is left: change data.held_out_slices")
    sizes = lesions.reshape(len(lesions), -1).sum(axis=1, dtype=np.int64)
    # A few stray voxels are neither a lesion to learn nor a slice without one.
    return Slices(
        name,
        np.ascontiguousarray(images),
        lesions,
        np.flatnonzero(sizes >= LEAST_LESION_VOX),
        np.flatnonzero(sizes == 0),
        subjects,
    )


def _folder(folder: Path, held_out: Sequence[str], *, wanted: bool) -> tuple[Slices, ...]:
    """Read the pictures of a folder, brought to 1 mm and to one shape a plane."""
    found: dict[str, list[tuple[FloatArray, FloatArray]]] = {}
    subjects: dict[str, list[str]] = {}
    files = {stem(path): path for path in sorted(folder.iterdir()) if _is_picture(path)}
    for name, path in files.items():
        if name.endswith("_mask") or is_held_out(name.split("_")[0], held_out) != wanted:
            continue
        mask = files.get(f"{name}_mask")
        if mask is None:
            raise DataError(f"{path}: no mask beside it ({name}_mask.png or .nii.gz)")
        plane = next((word for word in PLANES if word in name.lower()), "axial")
        image, lesion = _read_picture(path), _read_picture(mask)
        if image.shape != lesion.shape:
            raise DataError(f"{mask}: is {lesion.shape}, its slice {image.shape}")
        found.setdefault(plane, []).append((image, lesion))
        subjects.setdefault(plane, []).append(name.split("_")[0])
    if not found:
        raise DataError(f"{folder}: holds no slice with a mask (NAME.png beside NAME_mask.png)")
    return tuple(
        _stack(plane, found[plane], tuple(subjects[plane])) for plane in PLANES if plane in found
    )


def _is_picture(path: Path) -> bool:
    return path.name.endswith(ENDINGS)


def _read_picture(path: Path) -> FloatArray:
    """Read a 2D image as (A, B) of 1 mm; a PNG's rows go from top to bottom, so it is turned."""
    if path.suffix == ".png":
        try:
            with Image.open(path) as opened:
                grey = np.asarray(opened.convert("F"), dtype=np.float32)
        except (OSError, UnidentifiedImageError) as error:
            raise DataError(f"{path}: cannot be read as a PNG ({error})") from error
        return np.ascontiguousarray(grey[::-1].T)
    data, spacing_mm = read_plane(path)
    factors = np.asarray(spacing_mm) / SPACING_MM
    fine = ndimage.zoom(data, factors, order=1, grid_mode=True, mode="nearest")
    return np.asarray(fine, dtype=np.float32)


def _stack(
    plane: str, pictures: list[tuple[FloatArray, FloatArray]], subjects: tuple[str, ...]
) -> Slices:
    shape = np.max([image.shape for image, _ in pictures], axis=0)
    images = np.zeros((len(pictures), *shape), np.uint8)
    lesions = np.zeros(images.shape, np.bool_)
    for number, (image, lesion) in enumerate(pictures):
        first = (shape - image.shape) // 2
        where = tuple(slice(f, f + n) for f, n in zip(first, image.shape, strict=True))
        top = max(float(np.percentile(image, 99.9)), 1e-6)
        images[number][where] = np.clip(image / top * GREY_LEVELS, 0, GREY_LEVELS)
        lesions[number][where] = lesion > 0.5 * max(float(lesion.max()), 1e-6)
    return _group(plane, images, lesions, subjects)
