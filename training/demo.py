"""Draw the scan of `strokeseg demo` again: ``python -m strokeseg.training.demo -o strokeseg/demo``.

A FLAIR of a whole head with one lesion, 1 x 1 x 2 mm, stored with axes L, P, S; head and lesion
mask are of the validation split, so that no bundled model has seen them.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np

from strokeseg.arrays import AffineArray, AnyArray
from strokeseg.demo import SCAN, TRUTH
from strokeseg.images.reading import read_scan
from strokeseg.images.writing import write
from strokeseg.training.command_line import command_parser, run_command
from strokeseg.training.config import read_config
from strokeseg.training.data.label_table import LESION
from strokeseg.training.data.sources import load_sources
from strokeseg.training.settings import TrainConfig
from strokeseg.training.synthesis.sample import (
    Sample,
    SampleParams,
    build_sample,
    draw_sample,
)

CROP_VOX = (160, 192, 160)
VOLUME_ML = (15.0, 40.0)
SLICE_VOX = 2
BRIGHTEST = 1000.0
SEED = 7
# A plain case is drawn: the lesion is at least this much brighter than hyperintensities.
BRIGHTER = 1.4
HYPERINTENSITY = "white_matter_hyperintensity"


def demo_config(config: TrainConfig) -> TrainConfig:
    """Whole heads at 1 mm, upright, one lesion each, thin slices, little noise."""
    return replace(
        config,
        seed=SEED,
        data=replace(config.data, voxel_size_mm=1.0),
        lesion=replace(config.lesion, count_weights=(1.0,), lesion_free_share=0.0),
        contrast=replace(config.contrast, plausible_share=1.0, families=("FLAIR",)),
        ageing=replace(config.ageing, share=1.0),
        spatial=replace(
            config.spatial,
            crop_vox=CROP_VOX,
            flip_probability=(0.0, 0.0, 0.0),
            wander_vox=(0.0, 0.0, 0.0),
        ),
        intensity=replace(config.intensity, thick_share=0.0, strip_share=0.0, snr_minimum=40.0),
    )


def first_fitting(config: TrainConfig) -> Sample:
    """Draw samples by index until one is a plain FLAIR with a lesion of `VOLUME_ML`."""
    sources = load_sources(config.data, held_out=True)
    hyperintensity = sources.table.class_names.index(HYPERINTENSITY)
    for index in count():
        drawn = draw_sample(index, sources, config)
        params = drawn.made_of
        if not isinstance(params, SampleParams) or "acute" not in params.contrast.stage:
            continue
        means = params.contrast.means
        if means[-2] < BRIGHTER * means[hyperintensity]:
            continue
        sample = build_sample(drawn, sources, config)
        volume_ml = float((sample.target == LESION).sum()) / 1000
        if VOLUME_ML[0] <= volume_ml <= VOLUME_ML[1]:
            return sample
    raise AssertionError("indices do not end")


def as_stored(image: AnyArray) -> AnyArray:
    """Average pairs of slices, and turn axes to L, P, S."""
    i, j, k = image.shape
    slices = image.reshape(i, j, k // SLICE_VOX, SLICE_VOX).mean(axis=3)
    return np.asarray(slices[::-1, ::-1])


def affine() -> AffineArray:
    """Voxel to RAS+ mm of the stored scan, its middle at the origin."""
    linear = np.diag([-1.0, -1.0, float(SLICE_VOX), 1.0])
    shape = np.array([CROP_VOX[0], CROP_VOX[1], CROP_VOX[2] // SLICE_VOX])
    linear[:3, 3] = -linear[:3, :3] @ ((shape - 1) / 2)
    return linear


def main(arguments: Sequence[str] | None = None) -> str:
    """Write the scan and its true lesion."""
    parser = command_parser("demo", __doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--config", default="synth-open")
    chosen = parser.parse_args(arguments)
    sample = first_fitting(demo_config(read_config(chosen.config)))
    image = sample.image.numpy()
    low, high = float(image.min()), float(np.percentile(image, 99.9))
    scaled = np.clip((image - low) / (high - low), 0, 1.2) * BRIGHTEST
    scan = np.round(as_stored(scaled)).astype(np.int16)
    lesion = (as_stored((sample.target.numpy() == LESION).astype(np.float32)) >= 0.5).astype("u1")
    like = read_scan((scan, affine()))
    write(chosen.output / SCAN, scan, like)
    write(chosen.output / TRUTH, lesion, like)
    return str(chosen.output / SCAN)


if __name__ == "__main__":
    run_command(main)
