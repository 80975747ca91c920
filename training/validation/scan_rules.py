"""One way to decide what is lesion, judged on a scan case that a model has seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from strokeseg.arrays import BoolArray, FloatArray
from strokeseg.evaluation.metrics.matching import match_lesions
from strokeseg.evaluation.metrics.voxels import dice
from strokeseg.measure.components import Components, label_components
from strokeseg.measure.hull import Hull, find_hull
from strokeseg.measure.lesions import large_enough
from strokeseg.models.fusion import Fusion
from strokeseg.prediction.ensemble import posterior
from strokeseg.training.validation.seen_scans import SeenCase

START_PEAK, START_VOLUME_ML = 0.4, 0.1


@dataclass(frozen=True)
class Choice:
    """One way to decide."""

    fusion: Fusion
    threshold: float
    min_peak: float = START_PEAK
    min_volume_ml: float = START_VOLUME_ML
    hull_margin_mm: float | None = None

    def settings(self) -> dict[str, Any]:
        """Give what config.json is told of it."""
        fusion = {k: v for k, v in self.fusion.as_record().items() if v != {}}
        by_name = self.fusion.rule != "pooled" and not self.fusion.weights
        return {
            "threshold": self.threshold,
            "min_volume_ml": self.min_volume_ml,
            "min_peak": self.min_peak,
            "brain_mask": True,
            "hull_margin_mm": self.hull_margin_mm,
            "fusion": self.fusion.rule if by_name else fusion,
            "field_of_view": "brain",
        }


@dataclass(frozen=True)
class Mark:
    """How one case came out; `dice` and `f1` are None without lesion."""

    group: str
    dice: float | None
    f1: float | None
    false_ml: float


class Judge:
    """Judges choices on one case; the hull of each margin is found once, at a middle threshold."""

    def __init__(self, case: SeenCase) -> None:
        self._case = case
        self._found: Hull | None = None
        self._answers: dict[str, FloatArray] = {}
        self._marks: dict[tuple[Any, ...], tuple[Mark, ...]] = {}
        plain = posterior(case.members, case.grid, with_entropy=False)
        lesion = len(case.members[0].logits.mean) - 1
        self._tissues = tuple(range(1, lesion))
        self._labels = np.where(plain.probability >= np.float32(0.3), lesion, plain.tissue)

    def mark(self, choice: Choice) -> Mark:
        """Judge one choice."""
        return self.marks(choice, [(choice.min_peak, choice.min_volume_ml)])[0]

    def marks(self, choice: Choice, rules: Sequence[tuple[float, float]]) -> tuple[Mark, ...]:
        """Judge a choice with several peaks and volumes; a scan alone once for all fusions."""
        key = (self._key(choice.fusion), choice.threshold, choice.hull_margin_mm, tuple(rules))
        if key not in self._marks:
            self._marks[key] = tuple(self._judged(choice, rules))
        return self._marks[key]

    def _judged(self, choice: Choice, rules: Sequence[tuple[float, float]]) -> Iterator[Mark]:
        case, probability = self._case, self._probability(choice.fusion)
        found = probability >= np.float32(choice.threshold)
        if choice.hull_margin_mm is not None:
            found = found & self._hull(choice.hull_margin_mm)
        components = label_components(found)
        inside = components.touching(self._hull(0.0))
        for peak, volume_ml in rules:
            keep = inside & large_enough(components, volume_ml, case.grid)
            if peak > 0:
                keep &= components.reaching(probability, peak)
            yield self._score(components, keep)

    def _score(self, components: Components, keep: BoolArray) -> Mark:
        case = self._case
        mask = components.select(keep)
        truth = np.zeros(mask.shape, np.bool_) if case.truth is None else case.truth
        false_ml = float((mask & ~truth).sum()) * case.grid.voxel_volume_ml
        if case.truth is None:
            return Mark(case.group, None, None, false_ml)
        return Mark(case.group, dice(mask, truth), match_lesions(mask, truth).lf1, false_ml)

    def _probability(self, fusion: Fusion) -> FloatArray:
        key = self._key(fusion)
        if key not in self._answers:
            members, grid = self._case.members, self._case.grid
            answer = posterior(members, grid, with_entropy=False, fusion=fusion)
            self._answers = {key: answer.probability}
        return self._answers[key]

    def _key(self, fusion: Fusion) -> str:
        return str(fusion) if len(set(self._case.modalities)) > 1 else ""

    def _hull(self, margin_mm: float) -> BoolArray:
        if self._found is None:
            labels = self._labels.astype(np.uint8)
            self._found = find_hull(labels, self._case.grid, self._tissues)
        return self._found.within(margin_mm)
