"""What a training run can be told of slices: real ones, and those that three planes learn from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SliceConfig:
    """How real slices become volumes.

    `lesion_share` of them show lesion, `whole_share` fill the crop, `masked_share` keep an air
    without noise. `paste_share` of those without get the lesion of another. A slice's middle lies
    up to `wander_mm` from the crop's. `thin_share` of the samples are `thin_count` slices of one
    plane in one step, each alone in a crop of `thin_vox` along the axis that it lacks (with a batch
    of one alone): a slice repeated over the whole crop says no more and costs three times as much.
    """

    lesion_share: float = 0.65
    whole_share: float = 0.5
    masked_share: float = 0.8
    paste_share: float = 0.0
    wander_mm: float = 16.0
    thin_share: float = 0.0
    thin_count: int = 3
    thin_vox: int = 32


@dataclass(frozen=True)
class PlanarConfig:
    """What a three-plane network sees of a slice, and which slices a step takes.

    Its neighbours are `gap_vox` away. Of a volume it looks at the first of every `every_vox` slices
    (a power of two), which speaks for them all; training slices are any.

    A step has `optimiser.batch` slices, `slices_per_sample` of each of some samples among the
    newest `pool`: making a sample costs as much as half a step. Each step makes `fresh_per_step` of
    them. Of the slices of a sample with lesion `lesion_share` show it. Where the run has real
    slices, a step takes `real_slices` of those too, whose loss weighs `real_weight`;
    `repeated_share` of them have themselves for neighbours, the others differ from theirs by the
    noise.
    """

    gap_vox: int = 2
    every_vox: int = 1
    slices_per_sample: int = 4
    pool: int = 200
    fresh_per_step: float = 2.0
    lesion_share: float = 0.6
    real_slices: int = 10
    real_weight: float = 0.5
    repeated_share: float = 0.4
