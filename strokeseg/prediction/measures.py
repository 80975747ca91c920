"""The figures of a case: volumes, lesions, the brain, and what to mind about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from strokeseg.arrays import BoolArray, LabelArray
from strokeseg.measure.brain import brain_volume_ml, brain_warnings, find_midline_mm
from strokeseg.measure.counting import count_labels
from strokeseg.measure.lesions import Lesion, find_lesions, mask_volume_ml
from strokeseg.measure.opposite import Opposite
from strokeseg.models.classes import is_fluid
from strokeseg.models.volume_interval import Figures, VolumeInterval
from strokeseg.phrases import lesions_named
from strokeseg.prediction.ensemble import Posterior
from strokeseg.prediction.scans import Scans
from strokeseg.space.grid import Grid


@dataclass(frozen=True)
class Measures:
    """The figures of a case: volumes in ml, the lesions, the brain (None if not known).

    `volume_interval_ml` is None where the model has no calibrated one, or it does not hold.
    """

    volume_ml: float
    volume_range_ml: tuple[float, float]
    tissue_volumes_ml: Mapping[str, float]
    brain_volume_ml: float | None
    lesions: tuple[Lesion, ...]
    flips: int
    volume_interval_ml: tuple[float, float] | None = None

    def of_result(self) -> dict[str, Any]:
        """Give the figures that a result has by the same names: all but the number of flips."""
        figures = {one.name: getattr(self, one.name) for one in fields(self)}
        del figures["flips"]
        return figures


def case_warnings(scans: Scans, measures: Measures) -> tuple[str, ...]:
    """Gather what a user should hear about, one line each."""
    lines = scans.left_out.warnings()
    lines += [f"{name}: {line}" for name, scan in scans.seen.items() for line in scan.warnings]
    if measures.brain_volume_ml is not None:
        lines += brain_warnings(measures.brain_volume_ml, measures.volume_ml)
    if not measures.lesions:
        lines.append("no lesion found: the mask is empty")
    at_border = [str(lesion.index) for lesion in measures.lesions if lesion.touches_border]
    if at_border:
        several = len(at_border) > 1
        lines.append(
            f"{lesions_named(at_border)} {'reach' if several else 'reaches'} the border of the "
            f"field of view: part of {'them' if several else 'it'} may lie outside"
        )
    fluid = [str(lesion.index) for lesion in measures.lesions if lesion.opposite_fluid]
    if fluid:
        lines.append(
            f"{lesions_named(fluid)} {'lie' if len(fluid) > 1 else 'lies'} where the other side of "
            "the head has cerebrospinal fluid throughout, as a ventricle or a sulcus taken for a "
            "lesion does: look at the picture before using the result"
        )
    return tuple(lines)


def _tissue_ml(labels: LabelArray, names: Sequence[str], grid: Grid) -> dict[str, float]:
    """Give each class's volume."""
    counts = count_labels(labels, len(names)).tolist()
    return {name: count * grid.voxel_volume_ml for name, count in zip(names, counts, strict=True)}


def measure_lesions(
    mask: BoolArray,
    answer: Posterior,
    grid: Grid,
    names: Sequence[str],
    brain: tuple[float, float | None] | None,
) -> tuple[Lesion, ...]:
    """Measure the lesions, while the answer still has the tissue that is most probable in them."""
    midline_mm = None if brain is None else brain[1]
    opposite = None
    fluid = next((number for number, name in enumerate(names) if is_fluid(name)), None)
    if midline_mm is not None and fluid is not None:
        opposite = Opposite(answer.tissue, fluid, grid, midline_mm)
    return find_lesions(mask, answer.probability, grid, midline_mm, opposite)


def measure_case(
    mask: BoolArray,
    answer: Posterior,
    grid: Grid,
    names: Sequence[str],
    lesions: tuple[Lesion, ...],
    brain: tuple[float, float | None] | None,
    range_ml: tuple[float, float],
    flips: int,
) -> Measures:
    """Measure mask and tissues on the reference's grid; lesions and brain were measured before."""
    return Measures(
        volume_ml=mask_volume_ml(mask, grid),
        volume_range_ml=range_ml,
        tissue_volumes_ml=_tissue_ml(answer.tissue, names, grid),
        brain_volume_ml=None if brain is None else brain[0],
        lesions=lesions,
        flips=flips,
    )


def with_interval(
    measures: Measures,
    answer: Posterior,
    grid: Grid,
    interval: VolumeInterval | None,
    threshold: float | None,
    silence: float,
) -> Measures:
    """Add between what volumes the true lesion lies, where that is known.

    `silence` is the probability of lesion where no scan says anything.
    """
    if interval is None:
        return measures
    found = (measures.volume_ml, measures.volume_range_ml)
    figures = Figures.of(*found, answer.probability, threshold, grid.voxel_volume_ml, silence)
    return replace(measures, volume_interval_ml=interval.around(figures))


def measure_brain(brain: BoolArray, grid: Grid) -> tuple[float, float | None]:
    """Measure a brain: its volume in ml, and where its midline is, in mm."""
    return brain_volume_ml(brain, grid), find_midline_mm(brain, grid)
