"""Held-out people, heads and lesions of every kind, each as one crop about the brain.

What a network itself knows, without the windows, masks and rules of the product around it: real
slices, lesions pasted on real scans, real scans without stroke, drawn crops, and heads drawn in
three sequences of which some may not show the lesion.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from strokeseg.arrays import AnyArray, BoolArray, FloatArray, Shape3
from strokeseg.images.intensity import Normalisation, normalise
from strokeseg.training.data.label_table import LESION
from strokeseg.training.data.slices import PLANES, Slices, coarse_slice
from strokeseg.training.data.sources import Sources
from strokeseg.training.settings import TrainConfig
from strokeseg.training.synthesis.sample import SampleParams
from strokeseg.training.validation.cases import LEAST_ML, validation_samples, visible_samples
from strokeseg.training.validation.whole_heads import CUTS, MODALITIES, draw_whole_head

SLICES, FREE_SLICES = "slices", "slices without lesion"
DRAWN, FREE_DRAWN = "drawn crops", "drawn crops without lesion"
HEADS, PASTED, FREE = "drawn heads", "pasted", "no stroke"
TOGETHER = ("T1w", "FLAIR", "DWI")
STAGES = ("acute", "chronic", "subacute", "hyperacute")
RANDOM = "other"
# A drawn head's lesion may fall outside it or be too small: so many tries a head.
HEAD_TRIES = 16


@dataclass(frozen=True, eq=False)
class HeldOutCrop:
    """One case: an image (I, J, K) per modality, as a network sees it, and where lesion is.

    `axis` is that along which a slice is repeated, whose middle alone is judged; None elsewhere.
    """

    kind: str
    name: str
    images: Mapping[str, FloatArray]
    truth: BoolArray
    axis: int | None = None

    @property
    def sequences(self) -> str:
        """Name its modalities, joined."""
        return "+".join(self.images)


@dataclass(frozen=True)
class Counts:
    """How many cases: slices with lesion a plane (half as many without), crops, heads, pasted."""

    slices: int = 16
    drawn: int = 42
    heads: int = 18
    pasted: int = 16

    @classmethod
    def by_share(cls, share: float) -> "Counts":
        """Give a share of the usual numbers, at least one each."""
        usual = cls()
        numbers = (usual.slices, usual.drawn, usual.heads, usual.pasted)
        return cls(*(max(1, round(share * number)) for number in numbers))


def held_out_crops(
    sources: Sources, config: TrainConfig, counts: Counts | None = None
) -> Iterator[HeldOutCrop]:
    """Make the cases one after the other, the same again for the same configuration.

    Parameters
    ----------
    sources
        The held-out ones, `load_sources(config.data, held_out=True)`.
    config
        The run's: its voxel size, its validation seed and crop.
    counts
        How many.
    """
    counts = counts or Counts()
    yield from _slices(sources, config, counts.slices)
    yield from _free_scans(sources, config)
    for family, modality in MODALITIES.items():
        samples = visible_samples(family, sources, config, counts.pasted, pasted=True)
        for index, sample in samples:
            truth = sample.target.numpy() == LESION
            images = {modality: sample.image.numpy()}
            yield HeldOutCrop(PASTED, f"{family} {index}", images, truth)
    for index, sample in validation_samples(sources, config, counts.drawn):
        truth = sample.target.numpy() == LESION
        params = sample.drawn.made_of
        family = params.contrast.family if isinstance(params, SampleParams) else RANDOM
        kind = DRAWN if truth.any() else FREE_DRAWN
        images = {MODALITIES.get(family, RANDOM): sample.image.numpy()}
        yield HeldOutCrop(kind, f"{family} {index}", images, truth)
    yield from _heads(sources, config, counts.heads)


def centred(volume: AnyArray, centre: Sequence[float], shape: Shape3) -> AnyArray:
    """Cut a box of a shape about a voxel; beyond the volume there is air, 0."""
    pads, cuts = [], []
    for middle, size, length in zip(centre, volume.shape, shape, strict=True):
        low = round(float(middle)) - length // 2
        pads.append((max(0, -low), max(0, low + length - size)))
        cuts.append(slice(max(0, low), max(0, low) + length))
    return np.pad(volume, pads)[tuple(cuts)]


def _as_seen(image: FloatArray, config: TrainConfig) -> FloatArray:
    return normalise(image, cast(Normalisation, config.intensity.normalisation))


def _slices(sources: Sources, config: TrainConfig, count: int) -> Iterator[HeldOutCrop]:
    rng = np.random.default_rng([config.validation.seed, 2])
    for plane in sources.slices:
        for kind, rows, wanted in (
            (SLICES, plane.with_lesion, count),
            (FREE_SLICES, plane.without, max(1, count // 2)),
        ):
            for row in rng.choice(rows, min(wanted, len(rows)), replace=False).tolist():
                yield _slice(kind, plane, row, config)


def _slice(kind: str, plane: Slices, row: int, config: TrainConfig) -> HeldOutCrop:
    """Bring a slice to the working voxels, and repeat it along the axis that it lacks."""
    axis = PLANES[plane.plane]
    i, j, k = config.validation.crop_vox
    flat = (1 if axis == 0 else i, 1 if axis == 1 else j, 1 if axis == 2 else k)

    def cropped(image: AnyArray) -> FloatArray:
        coarse = np.expand_dims(coarse_slice(image, config.data.voxel_size_mm), axis)
        middle = [size / 2 for size in coarse.shape]
        return np.asarray(centred(coarse, middle, flat), np.float32)

    seen = _as_seen(np.repeat(cropped(plane.images[row]), (i, j, k)[axis], axis), config)
    truth = np.repeat(cropped(plane.lesions[row]) >= 0.5, (i, j, k)[axis], axis)
    name = f"{plane.plane} {plane.subjects[row] if plane.subjects else row}"
    return HeldOutCrop(kind, name, {"flair": seen}, truth, axis)


def _free_scans(sources: Sources, config: TrainConfig) -> Iterator[HeldOutCrop]:
    shape = config.validation.crop_vox
    for scan in sources.scans:
        crop = centred(scan.image, np.argwhere(scan.brain).mean(axis=0).tolist(), shape)
        seen = _as_seen(crop, config)
        modality = MODALITIES.get(scan.sequence, RANDOM)
        yield HeldOutCrop(FREE, scan.name, {modality: seen}, np.zeros(shape, np.bool_))


def _heads(sources: Sources, config: TrainConfig, count: int) -> Iterator[HeldOutCrop]:
    """Draw heads whose field of view is whole, in three sequences, in every stage by turns."""
    shape = config.validation.crop_vox
    families = [sequence.name for sequence in sources.sequences]
    if not set(TOGETHER) <= set(families):
        return
    voxel_ml = config.data.voxel_size_mm**3 / 1000
    found = 0
    for index in range(count * HEAD_TRIES):
        if found == count:
            return
        if CUTS[index % len(CUTS)] != "whole":
            continue
        stage = STAGES[found % len(STAGES)]
        head = draw_whole_head(index, TOGETHER, stage, sources, config)
        if np.count_nonzero(head.lesion) * voxel_ml < LEAST_ML:
            continue
        found += 1
        inside = np.argwhere(head.brain)
        middle = ((inside.min(axis=0) + inside.max(axis=0) + 1) / 2).tolist()
        images = {
            MODALITIES[name]: _as_seen(centred(image, middle, shape), config)
            for name, image in head.images.items()
        }
        name = f"{head.name} {stage} {index}"
        yield HeldOutCrop(HEADS, name, images, centred(head.lesion, middle, shape))
