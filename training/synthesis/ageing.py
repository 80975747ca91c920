"""What age and small vessels do to a brain: wide, uneven ventricles and white matter lesions.

A handful of label maps shows few ventricles, and a network that has seen few takes a wide horn
for a cavity. Where smoothed ventricle exceeds a smooth random threshold, tissue becomes ventricle;
where it exceeds a rougher one, white matter becomes hyperintensity, most of it in caps and bands
around the ventricles, some of it deep. Neither is a lesion in the target.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from strokeseg.arrays import FloatArray
from strokeseg.training.data.label_table import AgeingClasses
from strokeseg.training.settings import AgeingConfig
from strokeseg.training.synthesis.filters import gaussian_smooth, smooth_field
from strokeseg.training.synthesis.painting import Mixture


@dataclass(frozen=True)
class Ageing:
    """Control points of the two thresholds, which smoothed ventricle (0 to 1) must exceed.

    None where a head keeps its own ventricles, or its own white matter.
    """

    ventricle: FloatArray | None
    hyperintensity: FloatArray | None


def draw_ageing(rng: np.random.Generator, config: AgeingConfig) -> Ageing:
    """Draw whether and how a head ages; `config.share` of heads each way, on its own."""
    ventricle = hyperintensity = None
    if rng.random() < config.share:
        # Few points: one horn may be wide and its fellow narrow.
        points = rng.integers(2, config.ventricle_points + 1, 3)
        middle = rng.uniform(*config.ventricle_threshold)
        ventricle = _points(rng, points, middle, config.ventricle_spread)
    if rng.random() < config.share:
        points = rng.integers(config.hyperintensity_points // 2, config.hyperintensity_points, 3)
        middle = rng.uniform(*config.hyperintensity_threshold)
        hyperintensity = _points(rng, points, middle, config.hyperintensity_spread)
    return Ageing(ventricle, hyperintensity)


def _points(
    rng: np.random.Generator, shape: npt.NDArray[np.int64], middle: float, spread: float
) -> FloatArray:
    return (middle + rng.uniform(-spread, spread, shape)).astype(np.float32)


def apply_ageing(
    head: Mixture, ageing: Ageing, classes: AgeingClasses | None, reach_vox: float
) -> Mixture:
    """Age a head, ventricles first.

    Parameters
    ----------
    head
        Classes (I, J, K) and shares.
    ageing
        What was drawn; its fields spread over the whole of `head`.
    classes
        Which classes take part; without them the head is given back as it is.
    reach_vox
        Full width at half maximum by which the ventricles are smoothed.
    """
    if classes is None:
        return head
    for points, onto, into in (
        (ageing.ventricle, classes.ventricle, classes.yields),
        (ageing.hyperintensity, classes.hyperintensity, (classes.white_matter,)),
    ):
        if points is None:
            continue
        shape, device = tuple(head.share.shape), head.share.device
        near = gaussian_smooth((head.first == classes.ventricle).float(), reach_vox)
        grown = near > smooth_field(points, shape, device)
        head = replace(
            head,
            first=torch.where(grown & _any_of(head.first, into), onto, head.first),
            second=torch.where(grown & _any_of(head.second, into), onto, head.second),
        )
    return head


def _any_of(classes: torch.Tensor, wanted: tuple[int, ...]) -> torch.Tensor:
    found = classes == wanted[0]
    for number in wanted[1:]:
        found |= classes == number
    return found
