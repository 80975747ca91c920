"""A model of half-precision weights beside the one of full precision, case by case."""

from dataclasses import dataclass

import numpy as np

from strokeseg.engines.base import Engine
from strokeseg.evaluation.metrics.voxels import dice
from strokeseg.prediction.ensemble import classify
from strokeseg.training.data.sources import Sources
from strokeseg.training.settings import TrainConfig
from strokeseg.training.validation.cases import validation_samples
from strokeseg.training.validation.groups import GroupScore, summarise
from strokeseg.training.validation.scoring import (
    CaseScore,
    Rule,
    Scoring,
    find_lesions,
    over_flips,
    score_case,
)


@dataclass(frozen=True)
class Parity:
    """The half-precision model beside the full-precision one, on the same cases.

    `agreement` is the mean Dice between their two lesion masks over the cases with a lesion.
    """

    cases: int
    full: GroupScore
    half: GroupScore
    agreement: float

    def __str__(self) -> str:
        """Say it in a sentence."""
        return (
            f"Weights are stored as float16 and computed with in float32. On {self.cases} "
            f"validation cases the mean lesion Dice is {self.half.lesion_dice:.4f} with them and "
            f"{self.full.lesion_dice:.4f} with the float32 weights of training; the Dice between "
            f"the two lesion masks is {self.agreement:.4f}."
        )


def compare(
    engines: tuple[Engine, Engine],
    held_out: Sources,
    config: TrainConfig,
    rule: Rule,
    cases: int | None,
) -> tuple[tuple[CaseScore, ...], Parity]:
    """Measure two engines, half and full precision, on the same cases, each over eight flips."""
    voxel_size_mm = config.data.voxel_size_mm
    scoring = Scoring(rule, voxel_size_mm)
    names = [subject.name for subject in held_out.subjects]
    scores: tuple[list[CaseScore], list[CaseScore]] = ([], [])
    agreement = []
    for index, sample in validation_samples(held_out, config, cases):
        logits = [over_flips(engine.logits)(sample.image.numpy()) for engine in engines]
        for found, answer in zip(scores, logits, strict=True):
            found.append(score_case(index, sample, answer, names, scoring))
        if scores[0][-1].counts is not None:
            masks = [
                next(find_lesions(classify(answer), [rule], answer.shape[0], voxel_size_mm))
                for answer in logits
            ]
            agreement.append(dice(masks[0], masks[1]))
    half, full = (summarise(found)[0] for found in scores)
    mean = float(np.mean(agreement)) if agreement else 1.0
    return tuple(scores[0]), Parity(len(scores[0]), full, half, mean)
