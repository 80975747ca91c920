"""How well two scans are brought onto each other: made-up displacements of real scans.

Run by ``python -m tests.benchmarks.registration [COUNT] [--made]``. A scan is displaced by up to
40 mm and 30 degrees by its affine alone, and brought back as `strokeseg register` does, without a
network. The error is how far the corners of a box around the brain (120 x 150 x 100 mm) lie, in the
mean, from where the headers had them; as headers are not exact themselves, also from where the same
pair is brought without a displacement. The pairs take turns, so that any part of a run shows them
all.

With ``--made`` the moving scan is made of the fixed one, so that the truth is exact: another
contrast, slices of 5 mm across another axis, noise, and a lesion that the fixed one does not have.
"""

import argparse
import time

import numpy as np

from strokeseg.images.reading import read_scan
from strokeseg.space.grid import Grid
from strokeseg.space.pictures import picture_of
from strokeseg.space.registration import register
from strokeseg.space.resample import resample_image
from tests.factories import SCANS, rotation

# Other sequences, thick slices, and, in the acute case, a lesion.
PAIRS = (
    ("scans/sub-acute_dwi", "scans/sub-acute_FLAIR"),
    ("scans/sub-acute_dwi", "scans/sub-acute_adc"),
    ("ms/ms-01_ses-1_T1w", "ms/ms-01_ses-1_FLAIR"),
    ("ms/ms-12_ses-2_T1w", "ms/ms-12_ses-2_T2w"),
    ("ms/ms-19_ses-2_FLAIR", "ms/ms-19_ses-2_T1w"),
    ("elderly/elderly-01_T1w", "elderly/elderly-01_FLAIR"),
)


MADE = (
    "scans/sub-colin_T1w",
    "scans/sub-healthy_FLAIR",
    "ms/ms-12_ses-2_T1w",
    "ms/ms-01_ses-1_T1w",
)


class Pair:
    """Two scans of one person, and where they are brought as they lie."""

    def __init__(self, fixed, moving=None):
        still = read_scan(SCANS.parent / f"{fixed}.nii.gz")
        if moving is None:
            self.name, self.moving = f"made of {fixed}", made_of(still)
        else:
            self.name = f"{moving} on {fixed}"
            self.moving = read_scan(SCANS.parent / f"{moving}.nii.gz")
        self.fixed = picture_of(still.data, still.grid)
        self.centre = self.fixed.centre_mm
        box = np.array([(x, y, z) for x in (-60, 60) for y in (-75, 75) for z in (-50, 50)])
        self.corners = np.c_[box + self.centre, np.ones(8)].T
        self.rest = self.brought(np.eye(4))

    def brought(self, truth):
        """Where the moving scan is brought once it was displaced."""
        grid = Grid(self.moving.grid.shape, truth @ self.moving.grid.affine)
        fit = register(self.fixed, picture_of(self.moving.data, grid))
        return fit.to_moving if fit.is_better else np.eye(4)

    def apart(self, one, other):
        """How far two transforms bring the corners apart, in the mean."""
        return np.linalg.norm(((one - other) @ self.corners)[:3], axis=0).mean()


def made_of(scan):
    """The same head in another contrast, in thick tilted slices, with noise and a lesion."""
    rng = np.random.default_rng(1)
    bright = np.clip(scan.data / np.percentile(scan.data, 99), 0, 1)
    # Air stays dark; grey matter is brighter than white matter and fluid, as in no scan of it.
    other = np.exp(-(((bright - 0.45) / 0.2) ** 2)) * (bright > 0.08) * 800
    middle = (scan.grid.corners_mm.min(axis=0) + scan.grid.corners_mm.max(axis=0)) / 2
    size_mm, shape = np.array([1.2, 5.0, 1.2]), (200, 50, 200)
    affine = np.eye(4)
    affine[:3, :3] = rotation((10.0, 0.0, 5.0)) * size_mm
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    # Five samples across each slice, as a slice sees all of its thickness.
    parts = []
    for step in (-2.0, -1.0, 0.0, 1.0, 2.0):
        moved = affine.copy()
        moved[:3, 3] += affine[:3, 1] / 5 * step
        parts.append(resample_image(other.astype(np.float32), scan.grid, Grid(shape, moved)))
    image = np.mean(parts, axis=0)
    places = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    image[np.linalg.norm(places - middle - (30, -20, 10), axis=-1) < 15] = 1000
    return read_scan(((image + rng.normal(0, 20, shape)).astype(np.float32), affine))


def drawn(rng, centre):
    """A displacement about a centre."""
    shift, axis = rng.normal(size=(2, 3))
    truth = np.eye(4)
    truth[:3, :3] = rotation(axis / np.linalg.norm(axis) * rng.uniform(0, 30))
    shift *= rng.uniform(0, 40) / np.linalg.norm(shift)
    truth[:3, 3] = centre - truth[:3, :3] @ centre + shift
    return truth


def line(errors):
    shown = np.array(errors)
    return f"{np.median(shown):.2f} mm, {(shown < 3).mean():.1%} < 3 mm, most {shown.max():.1f} mm"


def table(pairs, done):
    """Show what was found by pair, and in all: what is far from headers, and from the pair."""
    lines = ["pair | as it lies moved by | n | from headers | from the pair as it lies"]
    for pair in pairs:
        mine = [one for one in done if one[0] is pair]
        if mine:
            rest_mm = pair.apart(pair.rest, np.eye(4))
            headers, rest = (line([one[k] for one in mine]) for k in (1, 2))
            lines.append(f"{pair.name} | {rest_mm:.2f} mm | {len(mine)} | {headers} | {rest}")
    headers, rest = (line([one[k] for one in done]) for k in (1, 2))
    lines.append(f"all | | {len(done)} | {headers} | {rest}")
    wall, cpu = (np.median([one[k] for one in done]) for k in (3, 4))
    return "\n".join([*lines, f"a pair takes {wall:.1f} s ({cpu:.1f} s of CPU)"])


def main(count, made):
    rng = np.random.default_rng(0)
    wanted = [(name,) for name in MADE] if made else PAIRS
    pairs = [Pair(*names) for names in wanted if (SCANS.parent / f"{names[-1]}.nii.gz").exists()]
    done = []
    for number in range(count):
        pair = pairs[number % len(pairs)]
        truth = drawn(rng, pair.centre)
        started, spent = time.perf_counter(), time.process_time()
        found = pair.brought(truth)
        seconds, cpu = time.perf_counter() - started, time.process_time() - spent
        errors = pair.apart(found, truth), pair.apart(found, truth @ pair.rest)
        done.append((pair, *errors, seconds, cpu))
        if len(done) % (2 * len(pairs)) == 0 or len(done) == count:
            print(table(pairs, done), flush=True)  # noqa: T201


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=200, help="of displacements")
    parser.add_argument("--made", action="store_true", help="pairs whose truth is exact")
    given = parser.parse_args()
    main(given.count, given.made)
