"""Evaluate a whole set of predictions; a case that cannot be read does not stop the others."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from strokeseg.errors import StrokesegError
from strokeseg.evaluation.common_grid import Comparison, Protocol, bring_together
from strokeseg.evaluation.finding import Item, find_masks
from strokeseg.evaluation.masks import Mask, read_mask
from strokeseg.evaluation.metrics.case_metrics import CaseMetrics, compare_masks
from strokeseg.evaluation.pairs import Pair, Pairing, pair
from strokeseg.evaluation.statistics import Summary, summarise
from strokeseg.evaluation.truths import LESION_FREE
from strokeseg.images.reading import read_map
from strokeseg.machine import thread_count

OnCase = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Terms:
    """How masks are read and compared.

    Attributes
    ----------
    protocol : {"native", "paper"}
        See `strokeseg.evaluation.common_grid`.
    label : int, optional
        The integer that is lesion in truths and predictions that have several.
    prediction_label : int, optional
        The predictions', if it is another one.
    """

    protocol: Protocol = "native"
    label: int | None = None
    prediction_label: int | None = None

    def label_of(self, prediction: Item) -> int | None:
        """Give the label to look for in a prediction; masks by this package have none."""
        if prediction.binary:
            return None
        return self.label if self.prediction_label is None else self.prediction_label


@dataclass(frozen=True)
class EvaluatedCase:
    """One case: its metrics, or why there are none.

    Attributes
    ----------
    pair : Pair
    metrics : CaseMetrics or None
        None where a file could not be read or compared.
    how : str
        See `strokeseg.evaluation.common_grid.Common`; empty where there are no metrics.
    notes : tuple of str
        What was unusual.
    error : StrokesegError or None
    """

    pair: Pair
    metrics: CaseMetrics | None
    how: Comparison | None = None
    notes: tuple[str, ...] = ()
    error: StrokesegError | None = None

    @property
    def name(self) -> str:
        """The case's name."""
        return self.pair.name


@dataclass(frozen=True)
class Evaluation:
    """One set of predictions against its truths.

    Attributes
    ----------
    name : str
        What tables and pictures call the predictions.
    predictions, truths : Path
        As given.
    terms : Terms
    cases : tuple of EvaluatedCase
        Sorted by name.
    pairing : Pairing
        Holds what was left over, too.
    damaged : mapping
        Cases of the predictions or truths that count as failed, as their record or error file
        cannot be read, or their line of a table is wrong: why, by name.
    """

    name: str
    predictions: Path
    truths: Path
    terms: Terms
    cases: tuple[EvaluatedCase, ...]
    pairing: Pairing
    damaged: Mapping[str, str] = field(default_factory=dict)

    @property
    def failures(self) -> tuple[EvaluatedCase, ...]:
        """The cases without metrics."""
        return tuple(case for case in self.cases if case.metrics is None)

    @property
    def metrics(self) -> tuple[CaseMetrics, ...]:
        """The metrics of all others."""
        return tuple(case.metrics for case in self.cases if case.metrics is not None)

    @cached_property
    def summary(self) -> tuple[Summary, ...]:
        """One row per metric over all cases, and per lesion size and metric."""
        return summarise(self.metrics)


def evaluate(
    predictions: str | os.PathLike[str],
    truths: str | os.PathLike[str],
    terms: Terms | None = None,
    *,
    name: str | None = None,
    on_case: OnCase | None = None,
) -> Evaluation:
    """Compare every prediction with its truth.

    Parameters
    ----------
    predictions : path
        The OUTPUT of a batch, a folder of masks, or one mask.
    truths : path
        The same, or a table with the columns case and truth.
    terms : Terms, optional
    name : str, optional
        What tables call the predictions; else what their folder is called.
    on_case : callable, optional
        Is told after each case how many are done, how many there are, and its name.

    Raises
    ------
    InputNotFoundError, DataError
        Nothing can be found in one of the two.
    UsageError
        Nothing can be paired, or not in one way only.
    """
    terms = terms or Terms()
    found, true = Path(predictions), Path(truths)
    masks, true_masks = find_masks(found), find_masks(true)
    pairing = pair(masks, true_masks)
    cases = []
    for case in _evaluated(pairing.pairs, terms):
        cases.append(case)
        if on_case is not None:
            on_case(len(cases), len(pairing.pairs), case.name)
    return Evaluation(
        name=found.resolve().name if name is None else name,
        predictions=found,
        truths=true,
        terms=terms,
        cases=tuple(cases),
        pairing=pairing,
        damaged={**true_masks.damaged, **masks.damaged},
    )


def evaluate_case(one: Pair, terms: Terms) -> EvaluatedCase:
    """Read and compare one pair; what is wrong with its files becomes the case's error."""
    try:
        prediction = read_mask(one.prediction.path, terms.label_of(one.prediction))
        truth = _truth_of(one, terms, prediction)
        map_path = one.prediction.probability
        probability = None if map_path is None else read_map(map_path)
        common = bring_together(prediction, truth, probability, terms.protocol)
    except StrokesegError as error:
        return EvaluatedCase(one, None, error=error)
    metrics = compare_masks(common.prediction, common.truth, common.grid, common.probability)
    notes = (
        *(f"prediction: {note}" for note in prediction.notes),
        *(f"truth: {note}" for note in truth.notes),
        *common.notes,
    )
    return EvaluatedCase(one, metrics, common.how, notes)


def _truth_of(one: Pair, terms: Terms, prediction: Mask) -> Mask:
    if one.truth.path == LESION_FREE:
        nothing = np.zeros_like(prediction.voxels)
        return Mask(nothing, prediction.grid, ("lesion-free, as its table says",))
    return read_mask(one.truth.path, None if one.truth.binary else terms.label)


def _evaluated(pairs: tuple[Pair, ...], terms: Terms) -> Iterator[EvaluatedCase]:
    """Evaluate in threads, in the order of the pairs."""
    with ThreadPoolExecutor(thread_count()) as pool:
        futures = [pool.submit(evaluate_case, one, terms) for one in pairs]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()
