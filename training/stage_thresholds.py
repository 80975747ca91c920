"""A prediction at every threshold, and the threshold that suits a model of one stage or of two.

Two models are compared fairly at thresholds that were chosen in the same way, on other cases.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from strokeseg.arrays import BoolArray
from strokeseg.evaluation.metrics.voxels import dice
from strokeseg.files.atomic import write_text
from strokeseg.measure.lesions import mask_volume_ml, threshold_probability
from strokeseg.models.config import ModelConfig
from strokeseg.models.folder import CONFIG_FILE, read_config
from strokeseg.prediction.decision import decide, make_rule, refine
from strokeseg.prediction.ensemble import Posterior
from strokeseg.prediction.options import Options
from strokeseg.results.result import Result

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
THRESHOLD_COLUMNS = ("model", "threshold", "n_with_lesion", "dice", "n", "false_ml")
# Of a prediction that is judged: its tissues are to be those under the lesion, too.
UNMASKED: Mapping[str, Any] = {"threshold": 0.9999}


@dataclass(frozen=True)
class Score:
    """Dice (NaN where there is no lesion) and falsely marked volume."""

    dice: float
    false_ml: float


@dataclass(frozen=True)
class Judged:
    """A prediction's scores, at each of `THRESHOLDS`."""

    scores: tuple[Score, ...]

    def at(self, threshold: float) -> Score:
        """Give the score at one of them."""
        return self.scores[THRESHOLDS.index(threshold)]


def judge(result: Result, config: ModelConfig, truth: BoolArray) -> Judged:
    """Decide by a model's own rule at each threshold; the brain is that of the lowest.

    Parameters
    ----------
    result
        Made with `UNMASKED`.
    config
        The model's.
    truth : (I, J, K) bool array
        On the result's grid.
    """
    grid = result.grid
    answer = Posterior(result.probability, None, result.tissue, None)
    rule = replace(make_rule(config, Options()), threshold=THRESHOLDS[0])
    widest = decide(answer, grid, replace(rule, min_volume_ml=0.0, min_peak=0.0))
    scores = []
    for threshold in THRESHOLDS:
        mask = widest.mask & threshold_probability(answer.probability, threshold)
        found = refine(replace(widest, mask=mask), answer, grid, rule).mask
        score = dice(found, truth) if truth.any() else math.nan
        scores.append(Score(score, mask_volume_ml(found & ~truth, grid)))
    return Judged(tuple(scores))


def best_threshold(cases: Sequence[Judged]) -> float:
    """Find the threshold of the best mean Dice over cases with a lesion; the lowest of equal ones.

    Without such a case it is the lowest of all.
    """
    known = [case for case in cases if not math.isnan(case.scores[0].dice)]
    if not known:
        return THRESHOLDS[0]
    means = np.mean([[score.dice for score in case.scores] for case in known], axis=0)
    return THRESHOLDS[int(np.argmax(means))]


def threshold_rows(cases: Sequence[Sequence[Judged]]) -> list[tuple[str, ...]]:
    """Average every model's scores at every threshold: the rows of `THRESHOLD_COLUMNS`."""
    rows: list[tuple[str, ...]] = []
    for model, judged in enumerate(zip(*cases, strict=True), start=1):
        for threshold in THRESHOLDS:
            scores = [case.at(threshold) for case in judged]
            known = [score.dice for score in scores if not math.isnan(score.dice)]
            mean = f"{np.mean(known):.4f}" if known else "n/a"
            false_ml = f"{np.mean([score.false_ml for score in scores]):.3f}"
            counted = str(len(known)), mean, str(len(scores))
            rows.append((str(model), f"{threshold:g}", *counted, false_ml))
    return rows


def keep_threshold(folder: Path, threshold: float) -> None:
    """Write the threshold of lesions into a model's config.

    Raises
    ------
    ModelFormatError, ReadWriteError
        The config cannot be read or written.
    """
    document = read_config(folder)
    own = {**document.get("strokeseg", {}), "threshold": threshold}
    text = json.dumps({**document, "strokeseg": own}, indent=2)
    write_text(folder / CONFIG_FILE, text + "\n")
