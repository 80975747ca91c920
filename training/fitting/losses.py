"""Dice and cross-entropy over tissues and lesion, in float32, on hard or soft targets."""

import torch
from torch.nn import functional

from strokeseg.network.torch_half import pack
from strokeseg.training.data.pairs import BRAIN, UNKNOWN
from strokeseg.training.settings import LossConfig

SMOOTH = 1.0
SPATIAL = (2, 3, 4)


def segmentation_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    config: LossConfig,
    *,
    step: int = 0,
    partly_known: bool = False,
) -> torch.Tensor:
    """Dice + cross-entropy of a batch; background is left out of Dice.

    Parameters
    ----------
    logits : (N, C, I, J, K)
        The lesion is the last class.
    target : (N, I, J, K) integer, or (N, C, I, J, K) float
        Class per voxel, or shares that sum to 1.
    config
        `lesion_weight` multiplies the lesion's share of the cross-entropy, `lesion_dice_weight`
        its share of Dice, and `tversky` are its weights of false positives and negatives
        (0.5, 0.5 is Dice). Before `l2_steps` the loss is the squared distance of the logits.
    step
        Steps done so far.
    partly_known
        Whether voxels may be `UNKNOWN` or `BRAIN`. There the classes that they may be count
        together, and a sample that has such voxels says nothing of tissues apart.
    """
    logits = logits.float()
    classes = logits.shape[1]
    if target.ndim == logits.ndim:
        share = target.float()
    else:
        numbers = torch.arange(classes, device=logits.device).reshape(1, -1, 1, 1, 1)
        share = (target[:, None].long() == numbers).float()
    unknown = _unknown(target) if partly_known else None
    if step < config.l2_steps:
        return _distance(logits, share, unknown, config.l2_target)
    log_probability = functional.log_softmax(logits, dim=1)
    crossed = _cross_entropy(log_probability, share, unknown, config.lesion_weight)
    return crossed + _dice_loss(log_probability.exp(), share, unknown, config)


def packed_loss(
    logits: torch.Tensor,
    coarse: list[torch.Tensor],
    target: torch.Tensor,
    config: LossConfig,
    *,
    partly_known: bool = False,
) -> torch.Tensor:
    """Loss of a half-resolution network, without unpacking its logits.

    Parameters
    ----------
    logits : (N, 8 C, I/2, J/2, K/2)
        Packed; see `strokeseg.network.torch_half.pack`.
    coarse
        Logits (N, C, ...) of a quarter of the image's resolution, an eighth, ...; each is held
        against the shares of the classes in its voxels.
    target : (N, I, J, K) integer
        Class per voxel.
    config, partly_known
        As of `segmentation_loss`.
    """
    count, channels, i, j, k = logits.shape
    classes = channels // 8
    packed = pack(target[:, None].float()).to(torch.uint8)
    total = segmentation_loss(
        logits.reshape(count, classes, 8, i * j, k),
        packed.reshape(count, 8, i * j, k),
        config,
        step=config.l2_steps,
        partly_known=partly_known,
    )
    if config.coarse_weight == 0 or not coarse:
        return total
    numbers = [packed == number for number in range(classes)]
    shares = torch.stack([number.float().mean(1) for number in numbers], dim=1)
    unknown = _unknown(packed).mean(2) if partly_known else None
    weight, reduction = config.coarse_weight, 64
    for level in coarse:
        shares = functional.avg_pool3d(shares, 2)
        unknown = None if unknown is None else functional.avg_pool3d(unknown, 2)
        log_probability = functional.log_softmax(level.float(), dim=1)
        crossed = _cross_entropy(log_probability, shares, unknown, config.lesion_weight)
        total = total + weight * (
            crossed + _dice_loss(log_probability.exp(), shares, unknown, config, reduction)
        )
        weight /= 2
        reduction *= 8
    return total


def _unknown(target: torch.Tensor) -> torch.Tensor:
    """Give where the class is unknown, and where it is some tissue of the brain: (N, 2, ...)."""
    return torch.stack((target == UNKNOWN, target == BRAIN), dim=1).float()


def _distance(
    logits: torch.Tensor, share: torch.Tensor, unknown: torch.Tensor | None, size: float
) -> torch.Tensor:
    """Mean squared distance of the logits to +-size."""
    squares = (logits - (2 * share - 1) * size) ** 2
    if unknown is not None:
        known = 1 - unknown.sum(1, keepdim=True)
        squares = torch.cat((squares[:, :-1] * known, squares[:, -1:]), dim=1)
    return squares.mean()


def _cross_entropy(
    log_probability: torch.Tensor,
    share: torch.Tensor,
    unknown: torch.Tensor | None,
    lesion_weight: float,
) -> torch.Tensor:
    """Weighted mean of the cross-entropy; weight 1, and `lesion_weight` for the lesion."""
    weighted = torch.cat((share[:, :-1], share[:, -1:] * lesion_weight), dim=1)
    total, weight = -(weighted * log_probability).sum(), weighted.sum()
    if unknown is not None:
        anything = torch.logsumexp(log_probability[:, :-1], dim=1)
        tissue = torch.logsumexp(log_probability[:, 1:-1], dim=1)
        total = total - (anything * unknown[:, 0] + tissue * unknown[:, 1]).sum()
        weight = weight + unknown.sum()
    return total / weight


def _dice_loss(
    probability: torch.Tensor,
    share: torch.Tensor,
    unknown: torch.Tensor | None,
    config: LossConfig,
    reduction: int = 1,
) -> torch.Tensor:
    """1 - Dice, averaged over classes (the lesion weighed) and samples.

    `reduction` is how many voxels of the image make one here.
    """
    hit = (probability * share).sum(SPATIAL)[:, 1:]
    predicted = probability.sum(SPATIAL)[:, 1:]
    true = share.sum(SPATIAL)[:, 1:]
    smooth = torch.full_like(true, SMOOTH)
    # Of a sample without lesion the Dice of few voxels says as little as that of many, and teaches
    # nothing; with more smoothing each false voxel counts.
    smooth[:, -1] = torch.where(true[:, -1] == 0, config.empty_smooth_vox / reduction, SMOOTH)
    false_positive = torch.full_like(hit[:1], 0.5)
    false_negative = torch.full_like(hit[:1], 0.5)
    false_positive[:, -1], false_negative[:, -1] = config.tversky
    overlap = (hit + smooth) / (
        hit + false_positive * (predicted - hit) + false_negative * (true - hit) + smooth
    )
    importance = torch.ones_like(hit)
    importance[:, -1] = config.lesion_dice_weight
    if unknown is not None:
        importance[:, :-1] *= ~(unknown.flatten(1) > 0).any(dim=1, keepdim=True)
    return (1 - (overlap * importance).sum(1) / importance.sum(1)).mean()
