"""Metrics of made-up cases, for statistics and pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from strokeseg.evaluation import Evaluation, Terms, compare_masks
from strokeseg.evaluation.evaluating import EvaluatedCase
from strokeseg.evaluation.finding import Item
from strokeseg.evaluation.pairs import Pair, Pairing
from tests.evaluation.masks_on_disk import boxes

LESION = boxes(((4, 4, 4), 5))
PERFECT = compare_masks(LESION, LESION, (1.0, 1.0, 1.0))


def metrics(**values):
    """Metrics of a perfect case but for those given."""
    return replace(PERFECT, **values)


def many(seed, count=12):
    """Metrics as of a mediocre model."""
    rng = np.random.default_rng(seed)
    return [
        metrics(
            dice=rng.uniform(0.2, 0.9),
            hd95_mm=rng.exponential(20),
            assd_mm=rng.exponential(5),
            avd_ml=rng.exponential(8),
            ald=int(rng.integers(0, 9)),
            lf1=rng.uniform(0, 1),
            pr_auc=rng.uniform(0.2, 0.9),
            truth_ml=rng.exponential(15),
        )
        for _ in range(count)
    ]


def evaluation(name, cases):
    """An evaluation of these metrics; None is a case that failed."""
    pairs = [
        Pair(
            f"case{number:02}",
            Item(f"case{number:02}", Path(name) / f"{number}.nii", frozenset()),
            Item(f"case{number:02}", Path("truth") / f"{number}.nii", frozenset()),
        )
        for number in range(len(cases))
    ]
    evaluated = tuple(
        EvaluatedCase(pair, case, None if case is None else "same grid")
        for pair, case in zip(pairs, cases, strict=True)
    )
    where = Path(name), Path("truth")
    return Evaluation(name, *where, Terms(), evaluated, Pairing(tuple(pairs)))
