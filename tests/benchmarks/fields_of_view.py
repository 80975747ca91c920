"""Whether the true brain is inside the box that is found, on made-up fields of view and real scans.

``python -m tests.benchmarks.fields_of_view --heads 1000 --real 48 -o fields.tsv`` draws heads from
the held-out label maps, cut at every height, a third of them tilted or with a wrong header, and
finds the brain; of every real scan of ``../shared/data/scans`` the box in each orientation must be
the same brain's. A line says how far, in mm, the brain reaches beyond the box (0 or less: inside),
and how large the box is beside the brain's own.
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


def drawn(model, count, out):
    """Go through made-up fields of view."""
    config = read_config("synth-open")
    sources = load_sources(config.data, held_out=True)
    heads = Heads(sources.subjects, torch.device("cpu"))
    families = tuple(MODALITIES)
    for index in range(count):
        family, stage = families[index % len(families)], STAGES[index // 7 % len(STAGES)]
        head = draw_whole_head(index, (family,), stage, sources, config, heads)
        rng = np.random.default_rng([1, index])
        grid, header = wrong_header(rng, head.grid)
        beyond, ratio, _ = measure(model, head.images[family], grid, head.brain)
        row = (index, family, head.cut, header, beyond, ratio, head.brain.sum() * 0.008)
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
    parser.add_argument("--heads", type=int, default=1000)
    parser.add_argument("--real", type=int, default=48, help="orientations of each real scan")
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int)
    parser.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args()
    model = load_model(chosen.model, Hardware(threads=chosen.threads))
    with chosen.output.open("w") as out:
        drawn(model, chosen.heads, out)
        real(model, chosen.real, out)


if __name__ == "__main__":
    main()
