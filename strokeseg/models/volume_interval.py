"""Between what volumes the true one lies in 9 of 10 of a model's validation cases."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from strokeseg.arrays import FloatArray
from strokeseg.errors import ModelFormatError
from strokeseg.measure.doubt import Doubt, measure_doubt
from strokeseg.models import config_fields as read

FIELD = "volume_interval"
# Below this volume in ml, errors count by ml rather than by factors.
OFFSET_ML = 1.0
# Share of the validation cases whose true volume lies in it.
COVERAGE = 0.9


@dataclass(frozen=True)
class Figures:
    """What a prediction says of its own volume: the volume, single flips, what is open."""

    volume_ml: float
    flips_ml: tuple[float, float]
    doubt: Doubt

    @classmethod
    def of(
        cls,
        volume_ml: float,
        flips_ml: tuple[float, float],
        probability: FloatArray,
        threshold: float | None,
        voxel_volume_ml: float,
        silence: float = 0.0,
    ) -> Self:
        """Measure what a probability map leaves open; without threshold, around one half.

        `silence` is the probability where no scan says anything.
        """
        middle = 0.5 if threshold is None else threshold
        doubt = measure_doubt(probability, middle, voxel_volume_ml, silence)
        return cls(volume_ml, flips_ml, doubt)


def logarithm(volume_ml: float) -> float:
    """Give the scale that volumes are compared on."""
    return math.log(volume_ml + OFFSET_ML)


def _size(_: Figures) -> float:
    return 0.0


def _flips(figures: Figures) -> float:
    low, high = figures.flips_ml
    return logarithm(high) - logarithm(low)


def _edge(figures: Figures) -> float:
    return logarithm(figures.doubt.wide_ml) - logarithm(figures.doubt.narrow_ml)


def _entropy(figures: Figures) -> float:
    return logarithm(figures.volume_ml + figures.doubt.entropy_ml) - logarithm(figures.volume_ml)


def _soft(figures: Figures) -> float:
    return abs(logarithm(figures.doubt.soft_ml) - logarithm(figures.volume_ml))


PREDICTORS: Mapping[str, Callable[[Figures], float]] = {
    "size": _size,
    "flips": _flips,
    "edge": _edge,
    "entropy": _entropy,
    "soft": _soft,
    "flips and edge": lambda figures: _flips(figures) + _edge(figures),
    "flips and entropy": lambda figures: _flips(figures) + _entropy(figures),
}


@dataclass(frozen=True)
class VolumeInterval:
    """How far the true volume may lie from the one that was found.

    On a logarithm of the volume plus 1 ml, it reaches `below` and `above` times the scale, which is
    `floor` plus what the predictor says of the case: a case in doubt has a wider interval.

    Parameters
    ----------
    predictor
        One of `PREDICTORS`; with "size" the scale is that of the volume alone.
    floor, below, above
        See above.
    cases
        How many validation cases it was made from.
    """

    predictor: str
    floor: float
    below: float
    above: float
    cases: int

    def around(self, figures: Figures) -> tuple[float, float]:
        """Give the interval of a case in ml, which holds the volume that was found."""
        scale = self.floor + PREDICTORS[self.predictor](figures)
        middle = logarithm(figures.volume_ml)
        low, high = (
            math.exp(middle + by) - OFFSET_ML for by in (-self.below * scale, self.above * scale)
        )
        return max(0.0, min(low, figures.volume_ml)), max(high, figures.volume_ml)

    @classmethod
    def read(cls, own: Mapping[str, Any]) -> "VolumeInterval | None":
        """Read it from a config's own settings; None where there is none.

        Raises
        ------
        ModelFormatError
            It is not one.
        """
        if own.get(FIELD) is None:
            return None
        table = read.table(own, FIELD)
        names = ("predictor", "floor", "below", "above", "cases")
        if set(table) != set(names):
            raise ModelFormatError(
                f"config.json: strokeseg.{FIELD} must have {', '.join(names)} and nothing else"
            )
        floor, below, above = (
            read.number(table, name, 0.0, lowest=0.0, highest=100.0) for name in names[1:4]
        )
        return cls(
            predictor=read.word(table, "predictor", "", tuple(PREDICTORS)),
            floor=floor,
            below=below,
            above=above,
            cases=read.whole(table, "cases", 0, lowest=1, highest=10_000_000),
        )
