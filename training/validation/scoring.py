"""How well a network does on the cases: decided as inference decides, scored lesion by lesion."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from strokeseg.arrays import BoolArray, FloatArray
from strokeseg.engines.flips import FLIPS, flip
from strokeseg.errors import StrokesegError
from strokeseg.evaluation.metrics.matching import LesionMatch, match_lesions
from strokeseg.evaluation.metrics.voxels import dice
from strokeseg.prediction.decision import Decision, decide, refine
from strokeseg.prediction.decision import Rule as DecisionRule
from strokeseg.prediction.ensemble import Posterior, classify
from strokeseg.space.grid import Grid
from strokeseg.training.data.label_table import LESION, TISSUES
from strokeseg.training.data.sources import Sources
from strokeseg.training.settings import TrainConfig
from strokeseg.training.synthesis.sample import Sample, SampleParams
from strokeseg.training.validation.cases import validation_samples

LogitsFunction = Callable[[FloatArray], FloatArray]
SIZES_ML = {"<5 ml": (0.0, 5.0), "5-20 ml": (5.0, 20.0), ">20 ml": (20.0, math.inf)}
FREE = "none"
TISSUE_NAMES = TISSUES[1:]


@dataclass(frozen=True)
class Rule:
    """When a voxel is lesion: its probability reaches `threshold` (None: it is the largest).

    Lesions of less than `min_volume_ml` are left out, with `needs_brain` those outside the
    network's own brain, and those that reach `min_peak` nowhere.
    """

    threshold: float | None = None
    min_volume_ml: float = 0.0
    needs_brain: bool = False
    min_peak: float = 0.0


@dataclass(frozen=True)
class CaseScore:
    """One validation case: what it is, and how the network did.

    `lesion_dice` and `counts` are None for a head without lesion, whose fault is `false_ml`
    (lesion volume predicted outside the truth). `tissue_dice` is in the order of `TISSUE_NAMES`.
    """

    index: int
    family: str
    stage: str
    subject: str
    thickness_mm: float
    stripped: bool
    true_ml: float
    predicted_ml: float
    false_ml: float
    lesion_dice: float | None
    counts: LesionMatch | None
    tissue_dice: tuple[float, ...]

    @property
    def size(self) -> str:
        """Name of the case's group by lesion volume."""
        for name, (low, high) in SIZES_ML.items():
            if self.counts is not None and low <= self.true_ml < high:
                return name
        return FREE


@dataclass(frozen=True)
class Scoring:
    """What turns logits into a mask, and voxels into millilitres."""

    rule: Rule
    voxel_size_mm: float


def score_case(
    index: int, sample: Sample, logits: FloatArray, names: Sequence[str], settings: Scoring
) -> CaseScore:
    """Compare logits (C, I, J, K) with a case; `names` are those of the heads."""
    return score_rules(index, sample, logits, names, (settings.rule,), settings.voxel_size_mm)[0]


def score_rules(
    index: int,
    sample: Sample,
    logits: FloatArray,
    names: Sequence[str],
    rules: Sequence[Rule],
    voxel_size_mm: float,
) -> list[CaseScore]:
    """Compare logits with a case under each rule; what no rule changes is computed once."""
    true = sample.target.numpy()
    answer = classify(logits)
    classes = logits.argmax(axis=0)
    tissues = tuple(
        dice(classes == number, true == number) if logits.shape[0] > 2 else math.nan
        for number in range(1, len(TISSUES))
    )
    voxel_ml = voxel_size_mm**3 / 1000
    truth: BoolArray = true == LESION
    has_lesion = bool(truth.any())
    params = sample.drawn.made_of
    if not isinstance(params, SampleParams):
        raise StrokesegError("a real image is no validation case; please report this")
    scores = []
    for lesion in find_lesions(answer, rules, logits.shape[0], voxel_size_mm):
        scores.append(
            CaseScore(
                index=index,
                family=params.contrast.family,
                stage=params.contrast.stage,
                subject=names[params.subject],
                thickness_mm=params.scanner.thickness_vox * voxel_size_mm,
                stripped=params.scanner.strip,
                true_ml=float(truth.sum()) * voxel_ml,
                predicted_ml=float(lesion.sum()) * voxel_ml,
                false_ml=float((lesion & ~truth).sum()) * voxel_ml,
                lesion_dice=dice(lesion, truth) if has_lesion else None,
                counts=match_lesions(lesion, truth) if has_lesion else None,
                tissue_dice=tissues,
            )
        )
    return scores


def find_lesions(
    answer: Posterior, rules: Sequence[Rule], classes: int, voxel_size_mm: float
) -> Iterator[BoolArray]:
    """Decide what is lesion by each rule, as inference does; `classes` the network's, with lesion.

    Rules of one threshold share the brain, which takes the most time.
    """
    grid = Grid(answer.probability.shape, np.diag([*[voxel_size_mm] * 3, 1.0]))
    found: dict[tuple[float | None, bool], Decision] = {}
    for rule in rules:
        needs_brain = rule.needs_brain and classes > 2
        # Of a network without tissues no brain is looked for.
        known = classes if needs_brain else 2
        key = rule.threshold, needs_brain
        if key not in found:
            everything = DecisionRule(rule.threshold, 0.0, needs_brain=False, classes=known)
            found[key] = decide(answer, grid, everything)
        chosen = DecisionRule(rule.threshold, rule.min_volume_ml, needs_brain, known, rule.min_peak)
        yield refine(found[key], answer, grid, chosen).mask


def validate(
    logits_fn: LogitsFunction,
    sources: Sources,
    config: TrainConfig,
    *,
    rule: Rule | None = None,
    count: int | None = None,
) -> tuple[CaseScore, ...]:
    """Measure a network on the validation set.

    Parameters
    ----------
    logits_fn
        Image (I, J, K) float32, normalised, to logits (C, I, J, K).
    sources
        The held-out heads and lesions.
    config
        The run's.
    rule
        What counts as lesion; the most probable class without it.
    count
        How many cases, where not as the configuration says.
    """
    settings = Scoring(rule or Rule(), config.data.voxel_size_mm)
    names = [subject.name for subject in sources.subjects]
    return tuple(
        score_case(index, sample, logits_fn(sample.image.numpy()), names, settings)
        for index, sample in validation_samples(sources, config, count)
    )


def over_flips(logits_fn: LogitsFunction) -> LogitsFunction:
    """Average the logits over the eight flips, as inference does unless it is told otherwise."""

    def run(image: FloatArray) -> FloatArray:
        first, *others = FLIPS
        total = np.array(flip(logits_fn(np.ascontiguousarray(flip(image, first))), first))
        for axes in others:
            total += flip(logits_fn(np.ascontiguousarray(flip(image, axes))), axes)
        return total / np.float32(len(FLIPS))

    return run


def module_logits(model: torch.nn.Module, device: torch.device) -> LogitsFunction:
    """Wrap a torch network as a function of an image, in fp32."""

    def run(image: FloatArray) -> FloatArray:
        with torch.inference_mode():
            batch = torch.from_numpy(image)[None, None].to(device)
            logits: FloatArray = model(batch)[0].float().cpu().numpy()
        return logits

    return run
