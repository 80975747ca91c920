"""Heads and lesions made of shapes, for the configuration `smoke`.

``python -m strokeseg.training.made_heads -o training/smoke`` writes them again. A head is nested
ellipsoids whose surface a smooth random field folds, with the deep structures as balls where they
lie in MNI152; a lesion is a few balls that the same kind of field frays. Nothing of them was
measured on anybody: they show that a training runs, and teach no network anatomy.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from strokeseg.arrays import AffineArray, AnyArray, BoolArray, FloatArray, LabelArray
from strokeseg.images.reading import read_map
from strokeseg.images.writing import write
from strokeseg.space.mni import mni_grid
from strokeseg.training.command_line import command_parser, run_command
from strokeseg.training.data.label_table import read_table

HEADS = 3
LESIONS = 16
SPACING_MM = 2.0
SEED = 16
# Room for skull and skin around the brain, from the lowest to the highest voxel centre.
ORIGIN_MM = (-86.0, -122.0, -92.0)
HEAD_SHAPE = (87, 104, 100)
# Of the brain with its fluid, as an ellipsoid in MNI152.
CENTRE_MM = (0.0, -18.0, 10.0)
HALF_AXES_MM = (70.0, 88.0, 68.0)
LEAST_ML, MOST_ML = 3.0, 120.0

AIR, SKIN, BONE, FLUID, STEM = 0, 511, 515, 24, 16
CORTEX, WHITE, VENTRICLE = (3, 42), (2, 41), (4, 43)
CEREBELLUM, CEREBELLAR_WHITE = (8, 47), (7, 46)
# Half axes in mm of the deep structures that stand at their landmarks.
DEEP_MM = {
    **dict.fromkeys((10, 49), (9.0, 14.0, 9.0)),
    **dict.fromkeys((11, 50), (5.0, 12.0, 8.0)),
    **dict.fromkeys((12, 51), (6.0, 14.0, 9.0)),
    **dict.fromkeys((13, 52), (4.0, 8.0, 6.0)),
    **dict.fromkeys((17, 53), (5.0, 15.0, 6.0)),
    **dict.fromkeys((18, 54), (6.0, 6.0, 6.0)),
    **dict.fromkeys((26, 58), (4.0, 5.0, 4.0)),
    **dict.fromkeys((14,), (2.5, 10.0, 8.0)),
    **dict.fromkeys((15,), (5.0, 5.0, 7.0)),
}


def make_head(rng: np.random.Generator) -> tuple[AnyArray, AffineArray]:
    """Make a label map in FreeSurfer's numbers, and its affine to MNI152 mm.

    Returns
    -------
    labels : (I, J, K) int16
        87x104x100 voxels of 2 mm.
    affine
        Voxel to MNI152 mm, RAS+.
    """
    affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = ORIGIN_MM
    points = _points(HEAD_SHAPE, affine)
    size = rng.uniform(0.95, 1.03, 3) * HALF_AXES_MM
    depth = _depth(points, CENTRE_MM, size)
    field, coarse = _field(rng, HEAD_SHAPE, 6.0), _field(rng, HEAD_SHAPE, 14.0)
    labels = np.full(HEAD_SHAPE, AIR, np.int16)
    neck = (_depth(points, (0, -30, -75), (46, 58, 70)) > 0) & (points[..., 2] < -40)
    labels[(depth + coarse > -15) | neck] = SKIN
    labels[depth + coarse > -8] = BONE
    labels[depth > 0] = FLUID
    right = (points[..., 0] > 0).astype(int)
    above = points[..., 2] > -26 + 0.25 * np.abs(points[..., 1] + 20)
    # Where a smooth field passes 0 are sheets, as deep as sulci are.
    folded = (depth > 4) & ((np.abs(field) > 0.25) | (depth + 4 * coarse > 15))
    apart = (np.abs(points[..., 0]) > 1.5) | (points[..., 2] < 24)
    _fold(labels, folded & above & apart, (np.take(CORTEX, right), np.take(WHITE, right)), 2.9)
    below = (points[..., 1] < -38) & (points[..., 2] < -20) & (depth + field > 5) & ~above
    both = (np.take(CEREBELLUM, right), np.take(CEREBELLAR_WHITE, right))
    _fold(labels, below & (np.abs(field) > 0.15), both, 4.5)
    _deep(labels, points, rng, right)
    return labels, affine


def _fold(
    labels: AnyArray, inside: BoolArray, kinds: tuple[AnyArray, AnyArray], thickness_mm: float
) -> None:
    """Fill a region: grey where it is near its border, white in its middle."""
    grey, white = kinds
    to_border: AnyArray = ndimage.distance_transform_edt(inside, sampling=SPACING_MM)
    labels[inside] = np.where(to_border <= thickness_mm, grey, white)[inside]


def _deep(labels: AnyArray, points: FloatArray, rng: np.random.Generator, right: AnyArray) -> None:
    """Put ventricles, nuclei and brain stem in their places."""
    mirrored = points.copy()
    mirrored[..., 0] = np.abs(points[..., 0])
    wide = rng.uniform(0.8, 1.4)
    bodies = (((9, -8, 19), (6, 24, 5)), ((21, -40, 12), (6, 16, 7)), ((27, -62, 8), (4, 14, 5)))
    for centre, body in bodies:
        found = _depth(mirrored, centre, np.multiply(body, (wide, 1, wide))) > 0
        labels[found] = np.take(VENTRICLE, right)[found]
    landmarks = read_table().landmarks_mm
    for label, axes in DEEP_MM.items():
        place = np.add(landmarks[label], rng.normal(0, 0.7, 3))
        labels[_depth(points, place, axes) > 0] = label
    stem = _depth(points, (0, -30, -38), (13, 12, 34)) > 0
    labels[stem & ~np.isin(labels, (14, 15))] = STEM


def make_lesion(rng: np.random.Generator) -> LabelArray:
    """Make a lesion mask on MNI152's grid of 2 mm, (91, 109, 91) uint8, 3 to 120 ml."""
    grid = mni_grid(SPACING_MM)
    points = _points(grid.shape, grid.affine)
    brain = _depth(points, CENTRE_MM, np.multiply(HALF_AXES_MM, 0.93)) > 0
    field = _field(rng, grid.shape, 5.0)
    wanted_ml = float(np.exp(rng.uniform(np.log(LEAST_ML), np.log(MOST_ML))))
    direction = rng.normal(0, 1, 3)
    direction /= np.linalg.norm(direction)
    middle = CENTRE_MM + direction * rng.uniform(0.3, 0.8) * HALF_AXES_MM
    centres = [middle, *(middle + rng.normal(0, 12, (2, 3)))]
    axes = rng.uniform(0.7, 1.4, (3, 3)) * 20
    towards = np.max([_depth(points, c, a) for c, a in zip(centres, axes, strict=True)], axis=0)
    worth = np.where(brain, towards + 4 * field, -np.inf)
    voxels = round(wanted_ml * 1000 / SPACING_MM**3)
    least = np.partition(worth, -voxels, axis=None)[-voxels]
    mask: LabelArray = (worth >= least).astype(np.uint8)
    return mask


def _points(shape: tuple[int, ...], affine: AffineArray) -> FloatArray:
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    return np.asarray(index @ affine[:3, :3].T + affine[:3, 3], dtype=np.float32)


def _depth(points: FloatArray, centre: npt.ArrayLike, axes: npt.ArrayLike) -> FloatArray:
    """Give about how many mm each point lies within an ellipsoid; negative outside."""
    radius = np.sqrt((((points - np.asarray(centre)) / np.asarray(axes)) ** 2).sum(axis=-1))
    return np.asarray((1 - radius) * float(np.asarray(axes, np.float64).mean()), dtype=np.float32)


def _field(rng: np.random.Generator, shape: tuple[int, ...], fwhm_vox: float) -> FloatArray:
    """Draw a smooth field of mean 0 and standard deviation 1."""
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape), fwhm_vox / 2.355)
    return np.asarray((smooth - smooth.mean()) / smooth.std(), dtype=np.float32)


def write_all(folder: Path) -> None:
    """Write the heads, each in a space of its own, and the lesions."""
    for number in range(1, HEADS + 1):
        rng = np.random.default_rng((SEED, 0, number))
        labels, affine = make_head(rng)
        turn = np.eye(4)
        turn[:3, :3] += _skew(rng.normal(0, 0.04, 3))
        turn[:3, 3] = rng.normal(0, 6, 3)
        _save(folder / "heads" / f"made-{number}.nii.gz", labels, turn @ affine)
    for number in range(1, LESIONS + 1):
        mask = make_lesion(np.random.default_rng((SEED, 1, number)))
        _save(folder / "lesions" / f"blob-{number:02d}.nii.gz", mask, mni_grid(SPACING_MM).affine)


def _skew(angles: AnyArray) -> AnyArray:
    """Give the rotation by small angles about R, A and S, to first order."""
    x, y, z = angles
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])


def _save(path: Path, data: AnyArray, affine: AffineArray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, data, read_map((data.astype(np.float32), affine)))


def main(arguments: Sequence[str] | None = None) -> str:
    """Run `python -m strokeseg.training.made_heads`."""
    parser = command_parser("made_heads", __doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="a folder")
    chosen = parser.parse_args(arguments)
    write_all(chosen.output)
    return str(chosen.output)


if __name__ == "__main__":
    run_command(main)
