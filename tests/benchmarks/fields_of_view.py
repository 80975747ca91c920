"""Whether the true brain is inside the box that is found, on made-up fields of view and real scans.

``python -m tests.benchmarks.fields_of_view --heads 200 --real 48 -o fields.tsv`` draws heads from
the held-out label maps, cut at every height, a third of them tilted or with a wrong header, cuts
each five times more or less, and finds the brain; of every real scan of ``../shared/data/scans``
the box in each orientation must be the same brain's. A line says how far, in mm, the brain reaches
beyond the box (0 or less: inside), and how large the box is beside the brain's own; both are None
where no brain was found, so that the whole scan is seen.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from strokeseg import load_model
from strokeseg.images.foreground import within_limits
from strokeseg.images.reading import read_scan
from strokeseg.measure.brain_box import grid_of
from strokeseg.measure.components import bounding_box
from strokeseg.models.loading import Hardware
from strokeseg.prediction.field_of_view import find_brain
from strokeseg.space.grid import Grid, working_grid
from strokeseg.space.resample import resample_image, resample_labels
from strokeseg.training.config import read_config
from strokeseg.training.data.sources import Heads, load_sources
from strokeseg.training.validation.whole_heads import MODALITIES, draw_whole_head
from tests.factories import ALL_AXCODES

SCANS = Path("../shared/data/scans")
STAGES = ("acute", "chronic", "none")


def wrong_header(rng, grid):
    """Tilt a head by up to 25 degrees, or say that it lies upside down or back to front."""
    affine = grid.affine.copy()
    kind = rng.integers(6)
    if kind == 0:
        affine[:3, :3] = affine[:3, :3] @ np.diag([1, -1, -1])
    elif kind == 1:
        angle = np.deg2rad(rng.uniform(-25, 25))
        turn = np.array(
            [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
        )
        affine[:3, :3] = turn @ affine[:3, :3]
    return Grid(grid.shape, affine), ("upside down", "tilted")[kind] if kind < 2 else "straight"


def translation(by):
    """Give the affine that moves by so many voxels."""
    moved = np.eye(4)
    moved[:3, 3] = by
    return moved


def further_cut(rng, brain):
    """Cut what is in view once more, at a height that leaves 40 to 100 % of the brain's."""
    planes = np.flatnonzero(brain.any(axis=(0, 1)))
    low, high = planes[0], planes[-1] + 1
    lost = int(rng.uniform(0, 0.6) * (high - low))
    below = int(rng.integers(0, lost + 1)) if rng.random() < 0.7 else 0
    start = low + below if below else int(rng.integers(0, low + 1))
    stop = high - (lost - below) if lost > below else int(rng.integers(high, brain.shape[2] + 1))
    return start, max(stop, start + 17)


def measure(model, data, grid, brain):
    """Find the box, and compare it with the brain's own on the working grid."""
    config = model.model.config
    working = working_grid(grid, config.voxel_size_mm)
    image = resample_image(within_limits(data), grid, working)
    box = find_brain(image, working, model, config.window)
    truth = resample_labels(brain.astype(np.uint8), grid, working) > 0
    own = bounding_box(truth)
    if box is None or own is None:
        return None, None, own
    beyond = [
        max(a.start - b.start, b.stop - a.stop) * config.voxel_size_mm
        for a, b in zip(box, own, strict=True)
    ]
    size = [np.prod([s.stop - s.start for s in which]) for which in (box, own)]
    return max(beyond), size[0] / size[1], own


def drawn(model, config, count, fields, out):
    """Go through made-up fields of view."""
    sources = load_sources(config.data, held_out=True)
    heads = Heads(sources.subjects, torch.device("cpu"))
    families = tuple(MODALITIES)
    for index in range(count):
        family, stage = families[index % len(families)], STAGES[index // 7 % len(STAGES)]
        head = draw_whole_head(index, (family,), stage, sources, config, heads)
        for field in range(fields):
            rng = np.random.default_rng([1 + field, index])
            low, high = further_cut(rng, head.brain) if field else (0, head.brain.shape[2])
            affine = head.grid.affine @ translation([0.0, 0.0, low])
            brain = head.brain[:, :, low:high]
            grid, header = wrong_header(rng, Grid(brain.shape, affine))
            beyond, ratio, _ = measure(
                model, head.images[family][:, :, low:high].astype(np.float32), grid, brain
            )
            row = (index, field, family, head.cut, header, beyond, ratio, brain.sum() * 0.008)
            print(*row, sep="\t", file=out, flush=True)


def real(model, count, out):
    """Go through real scans in some of the 48 orientations."""
    axes_of = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
    for path in sorted(SCANS.glob("*_[TFda]*.nii.gz")):
        volume = read_scan(path)
        first = None
        for axcodes in ALL_AXCODES[:count]:
            order = [axes_of[code] for code in axcodes]
            turned, affine = volume.data.transpose(order), volume.grid.affine[:, [*order, 3]].copy()
            flips = [axis for axis, code in enumerate(axcodes) if code in "LPI"]
            moved = np.flip(turned, flips)
            for axis in flips:
                affine[:3, 3] += affine[:3, axis] * (turned.shape[axis] - 1)
                affine[:3, axis] *= -1
            grid = Grid(moved.shape, affine)
            working = working_grid(grid, model.model.config.voxel_size_mm)
            image = resample_image(within_limits(moved), grid, working)
            box = find_brain(image, working, model, model.model.config.window)
            corners = None if box is None else grid_of(box, working).corners_mm
            first = corners if first is None else first
            apart = (
                None
                if corners is None
                else np.abs(np.sort(corners, axis=0) - np.sort(first, axis=0)).max()
            )
            print(path.name, axcodes, apart, sep="\t", file=out, flush=True)


def main():
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--heads", type=int, default=200)
    parser.add_argument("--fields", type=int, default=5, help="fields of view of each head")
    parser.add_argument("--real", type=int, default=48, help="orientations of each real scan")
    parser.add_argument("--config", default="synth-open", help="whose held-out heads are drawn")
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int)
    parser.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args()
    model = load_model(chosen.model, Hardware(threads=chosen.threads))
    with chosen.output.open("w") as out:
        drawn(model, read_config(chosen.config), chosen.heads, chosen.fields, out)
        real(model, chosen.real, out)


if __name__ == "__main__":
    main()
