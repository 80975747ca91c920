"""Dice and cross-entropy over tissues and lesion, in float32."""

import torch
from torch.nn import functional

from strokeseg.training.config import LossConfig

SMOOTH = 1.0


def segmentation_loss(
    logits: torch.Tensor, target: torch.Tensor, config: LossConfig
) -> torch.Tensor:
    """Dice + cross-entropy of a batch; background is left out of Dice.

    Parameters
    ----------
    logits : (N, C, I, J, K)
        The lesion is the last class.
    target : (N, I, J, K) integer
        Class per voxel.
    config
        `lesion_weight` multiplies the lesion's share of the cross-entropy, `lesion_dice_weight`
        its share of Dice, and `tversky` are its weights of false positives and negatives
        (0.5, 0.5 is Dice).
    """
    logits = logits.float()
    classes = logits.shape[1]
    weights = torch.ones(classes, device=logits.device)
    weights[-1] = config.lesion_weight
    crossed = functional.cross_entropy(logits, target.long(), weight=weights)
    probability = torch.softmax(logits, dim=1)
    one_hot = functional.one_hot(target.long(), classes).movedim(-1, 1).to(probability.dtype)
    axes = (2, 3, 4)
    hit = (probability * one_hot).sum(axes)[:, 1:]
    predicted = probability.sum(axes)[:, 1:]
    true = one_hot.sum(axes)[:, 1:]
    false_positive = torch.full((classes - 1,), 0.5, device=logits.device)
    false_negative = false_positive.clone()
    false_positive[-1], false_negative[-1] = config.tversky
    overlap = (hit + SMOOTH) / (
        hit + false_positive * (predicted - hit) + false_negative * (true - hit) + SMOOTH
    )
    importance = torch.ones(classes - 1, device=logits.device)
    importance[-1] = config.lesion_dice_weight
    dice = 1 - (overlap * importance).sum(1) / importance.sum()
    return crossed + dice.mean()
