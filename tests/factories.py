"""Small volumes for tests: every orientation and spacing that scans come in."""

from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np

SCANS = Path(__file__).resolve().parents[2] / "shared" / "data" / "scans"
REAL_SCANS = (
    *("sub-acute_FLAIR.nii.gz", "sub-acute_dwi.nii.gz", "sub-chronic_T2w.nii.gz"),
    *("sub-colin_T1w.nii.gz", "sub-healthy_FLAIR.nii.gz"),
)
ALL_AXCODES = tuple(
    "".join(codes) for order in permutations(("LR", "PA", "IS")) for codes in product(*order)
)


@dataclass(frozen=True)
class Kind:
    """How a scan is stored: axes, voxel sizes, tilt, and what the file looks like."""

    axcodes: str = "RAS"
    voxel_size_mm: tuple[float, float, float] = (1.5, 1.5, 1.5)
    shape: tuple[int, int, int] = (40, 48, 36)
    tilt_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)
    suffix: str = ".nii.gz"
    volumes: int | None = None


KINDS = {
    "ras": Kind(),
    "las": Kind("LAS"),
    "lps": Kind("LPS"),
    "lia": Kind("LIA", shape=(40, 36, 48)),
    "oblique": Kind("LAS", tilt_degrees=(11.0, -7.0, 4.0)),
    "anisotropic": Kind("RAS", (0.9, 0.9, 5.0), (64, 72, 12)),
    "anisotropic-oblique": Kind("LPS", (0.9, 0.9, 5.0), (64, 72, 12), (12.0, 3.0, -2.0)),
    "fine": Kind("PSR", (0.7, 0.6, 0.8), (90, 80, 70)),
    "one-volume-4d": Kind("LAS", volumes=1),
    "plain": Kind("RAS", suffix=".nii"),
}


def rotation(degrees: tuple[float, float, float]) -> np.ndarray:
    """Rotate about R, then A, then S."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def affine_of(kind: Kind) -> np.ndarray:
    """An affine with these axes and sizes, the middle of the field of view near the origin."""
    linear = np.zeros((3, 3))
    for column, code in enumerate(kind.axcodes):
        axis = next(axis for axis, pair in enumerate(("LR", "PA", "IS")) if code in pair)
        linear[axis, column] = kind.voxel_size_mm[column] * (1 if code in "RAS" else -1)
    affine = np.eye(4)
    affine[:3, :3] = rotation(kind.tilt_degrees) @ linear
    middle = (np.array(kind.shape) - 1) / 2
    affine[:3, 3] = np.array([3.0, -12.0, 7.0]) - affine[:3, :3] @ middle
    return affine


def head_at(points_mm: np.ndarray) -> np.ndarray:
    """A smooth head with a bright off-centre lesion, as a function of RAS mm (..., 3)."""
    x, y, z = np.moveaxis(points_mm - np.array([3.0, -12.0, 7.0]), -1, 0)
    brain = 1.0 / (1.0 + np.exp((np.sqrt((x / 22) ** 2 + (y / 27) ** 2 + (z / 20) ** 2) - 1) * 12))
    texture = 1 + 0.2 * np.sin(x / 4) * np.cos(y / 5) + 0.1 * np.sin(z / 3 + x / 7)
    lesion = np.exp(-((x - 9) ** 2 + (y + 6) ** 2 + (z - 5) ** 2) / 40)
    return np.asarray(brain * (300 * texture + 250 * lesion))


def head(kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """The same head sampled on this kind's voxels: float32 array and float64 affine."""
    affine = affine_of(kind)
    index = np.stack(np.meshgrid(*(np.arange(size) for size in kind.shape), indexing="ij"), axis=-1)
    data = head_at(index @ affine[:3, :3].T + affine[:3, 3])
    return data.astype(np.float32), affine


def hounsfield(data: np.ndarray) -> np.ndarray:
    """That head as a CT shows it: soft tissue near 35, the lesion brighter, air at -1000."""
    return np.where(data < 30, -1000.0, data / 9).astype(np.float32)


def scan_image(kind: Kind, dtype: type[np.generic] = np.int16) -> nib.Nifti1Image:
    """That head as a nibabel image, sform code 1 and qform code 1."""
    data, affine = head(kind)
    stored = np.rint(data).astype(dtype)
    if kind.volumes is not None:
        stored = np.repeat(stored[..., np.newaxis], kind.volumes, axis=3)
    image = nib.Nifti1Image(stored, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm")
    return image


def scan_file(folder: Path, name: str = "ras", dtype: type[np.generic] = np.int16) -> Path:
    """That head as a file in a folder; `name` is a key of `KINDS`."""
    path = folder / f"{name}{KINDS[name].suffix}"
    nib.save(scan_image(KINDS[name], dtype), path)
    return path


def huge_scan(path: Path) -> Path:
    """Write a header that claims 640^3 voxels of 0.4 mm, int16, and not a voxel after it."""
    header = nib.Nifti1Header()
    header.set_data_shape((640, 640, 640))
    header.set_data_dtype(np.int16)
    header.set_sform(np.diag([0.4, 0.4, 0.4, 1.0]), code=1)
    header["magic"], header["vox_offset"] = header.single_magic, header.single_vox_offset
    path.write_bytes(header.binaryblock)
    return path
