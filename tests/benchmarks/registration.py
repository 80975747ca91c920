"""How well two scans are brought onto each other: made-up displacements of real scans.

Run by ``python -m tests.benchmarks.registration [COUNT]``. A scan is displaced by up to 40 mm and
30 degrees by its affine alone, and brought back as `strokeseg register` does, without a network.
The error is how far the corners of a box around the brain (120 x 150 x 100 mm) lie, in the mean,
from where the headers had them; as headers are not exact themselves, also from where the same pair
is brought without a displacement. The pairs take turns, so that any part of a run shows them all.
"""

import argparse
import time

import numpy as np

from strokeseg.images.reading import read_scan
from strokeseg.space.grid import Grid
from strokeseg.space.pictures import picture_of
from strokeseg.space.registration import register
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


class Pair:
    """Two scans of one person, and where they are brought as they lie."""

    def __init__(self, fixed, moving):
        self.name = f"{moving} on {fixed}"
        still, self.moving = (read_scan(SCANS.parent / f"{one}.nii.gz") for one in (fixed, moving))
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


def main(count):
    rng = np.random.default_rng(0)
    pairs = [Pair(*names) for names in PAIRS if (SCANS.parent / f"{names[1]}.nii.gz").exists()]
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
    main(parser.parse_args().count)
