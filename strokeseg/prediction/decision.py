"""From probabilities to a lesion mask: threshold, peak, the model's own brain, least volume."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from strokeseg.arrays import AnyArray, BoolArray, LabelArray
from strokeseg.measure.brain import brain_mask, brain_volume_ml, is_hardly_any_brain
from strokeseg.measure.components import Components, label_components
from strokeseg.measure.hull import find_hull
from strokeseg.measure.lesions import large_enough, mask_volume_ml, threshold_probability
from strokeseg.models.config import ModelConfig
from strokeseg.prediction.ensemble import Posterior
from strokeseg.prediction.flip_spread import FlipSpread
from strokeseg.prediction.options import Options
from strokeseg.space.grid import Grid
from strokeseg.space.resample import resample_labels


@dataclass(frozen=True)
class Rule:
    """What makes a voxel lesion.

    Parameters
    ----------
    threshold
        Lesion probability, or None for the most probable class.
    min_volume_ml
        Lesions below this are left out.
    needs_brain
        Whether a lesion must touch the model's own brain.
    classes
        Number of classes; with two, the model knows no tissues and has no brain to offer.
    min_peak
        Lesions whose highest probability is below this are left out: with a lower threshold a
        lesion is drawn whole where it is certain somewhere, and faint ones do not count.
    hull_margin_mm
        How far beyond the hull of that brain a lesion may reach; None for anywhere.
    """

    threshold: float | None
    min_volume_ml: float
    needs_brain: bool
    classes: int
    min_peak: float = 0.0
    hull_margin_mm: float | None = None

    @property
    def knows_tissues(self) -> bool:
        """Whether there are classes between background and lesion."""
        return self.classes > 2


@dataclass(frozen=True, eq=False)
class Decision:
    """The lesion, the brain and its hull on one grid.

    `brain` is None for a model without tissues, `hull` where lesions are not cut to one.
    """

    mask: BoolArray
    brain: BoolArray | None
    hull: BoolArray | None = None

    @cached_property
    def components(self) -> Components:
        """The lesions apart; found once for all rules that leave some of them out."""
        return label_components(self.mask)


@dataclass(frozen=True, eq=False)
class _Peak:
    """What every lesion must reach somewhere in an image; 0 asks for nothing."""

    image: AnyArray
    least: float


def make_rule(config: ModelConfig, options: Options, *, brain_given: bool = False) -> Rule:
    """Take each setting from the options, else from the model's config.

    A brain that is given was asked for: lesions must touch it, unless the options say otherwise.
    """
    classes = config.spec.out_channels
    own = config.brain_mask or brain_given
    wanted = own if options.brain_mask is None else options.brain_mask
    knows_brain = classes > 2 or brain_given
    return Rule(
        threshold=config.threshold if options.threshold is None else options.threshold,
        min_volume_ml=(
            config.min_volume_ml if options.min_volume_ml is None else options.min_volume_ml
        ),
        needs_brain=wanted and knows_brain,
        classes=classes,
        min_peak=config.min_peak if options.min_peak is None else options.min_peak,
        hull_margin_mm=config.hull_margin_mm if wanted and knows_brain else None,
    )


def decide(answer: Posterior, grid: Grid, rule: Rule, given: BoolArray | None = None) -> Decision:
    """Apply a rule to a posterior; the brain is found whether or not the rule needs it.

    `given` is a brain that another model found, on the same grid, and takes the place of the
    tissues' own.
    """
    if rule.threshold is not None:
        found = threshold_probability(answer.probability, rule.threshold)
    elif answer.is_argmax is not None:
        found = answer.is_argmax
    else:
        raise ValueError("the posterior was made without the most probable class")
    brain = hull = None
    tissues: tuple[int, ...] = (1,)
    if given is not None or rule.knows_tissues:
        if given is not None:
            labels, brain = given.view(np.uint8), given.copy()
        else:
            lesion = rule.classes - 1
            labels, tissues = label_map(answer.tissue, found, lesion), tuple(range(1, lesion))
            brain = brain_mask(labels, grid, tissues, lesion)
        if rule.hull_margin_mm is not None and _is_judge(brain, grid, rule):
            hull = find_hull(labels, grid, tissues).within(rule.hull_margin_mm)
            found = found & hull
            # What was cut off is no part of the brain either, however it hung on to it.
            brain &= hull
        del labels
    return refine(Decision(found, brain, hull), answer, grid, rule)


def refine(found: Decision, answer: Posterior, grid: Grid, rule: Rule) -> Decision:
    """Leave out of what was found the lesions that a rule leaves out, whatever its threshold."""
    judge = _judge(found.brain, grid, rule)
    peak = _Peak(answer.probability, rule.min_peak)
    return Decision(_clean(found, peak, judge, grid, rule), found.brain, found.hull)


def label_map(tissue: LabelArray, mask: BoolArray, lesion: int) -> LabelArray:
    """Put the lesion class over the tissues."""
    return np.where(mask, np.uint8(lesion), tissue)


def flip_volumes_ml(
    spread: FlipSpread, working: Grid, decision: Decision, native: Grid, rule: Rule
) -> tuple[float, float]:
    """Least and largest volume that one flip alone would give, by the same rule, on its grid."""
    brain = _judge(decision.brain, native, rule)
    if brain is not None:
        brain = resample_labels(brain.view(np.uint8), native, working).view(np.bool_)
    levels = spread.levels
    if decision.hull is not None:
        hull = resample_labels(decision.hull.view(np.uint8), native, working)
        levels = [level * hull for level in levels]
    least = 2.0 if rule.min_peak > 0 else 0.0
    masks = (
        _clean(Decision(level > 0, None), _Peak(level, least), brain, working, rule)
        for level in levels
    )
    volumes = [mask_volume_ml(mask, working) for mask in masks]
    return min(volumes), max(volumes)


def _judge(brain: BoolArray | None, grid: Grid, rule: Rule) -> BoolArray | None:
    """Give the brain that lesions must touch, or None where they need not.

    Where hardly any brain was recognised it is no judge of lesions, and all stay.
    """
    return brain if brain is not None and _is_judge(brain, grid, rule) else None


def _is_judge(brain: BoolArray, grid: Grid, rule: Rule) -> bool:
    """Tell whether a brain is enough of one to judge lesions by."""
    return rule.needs_brain and not is_hardly_any_brain(brain_volume_ml(brain, grid))


def _clean(
    found: Decision,
    peak: _Peak,
    brain: BoolArray | None,
    grid: Grid,
    rule: Rule,
) -> BoolArray:
    """Leave out what does not touch the brain, is too small, or has no peak."""
    if brain is None and rule.min_volume_ml == 0.0 and peak.least == 0.0:
        return found.mask
    components = found.components
    keep = large_enough(components, rule.min_volume_ml, grid)
    if peak.least > 0:
        keep &= components.reaching(peak.image, peak.least)
    if brain is not None:
        keep &= components.touching(brain)
    return components.select(keep)
