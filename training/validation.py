"""A fixed validation set: heads and lesions that training never saw, drawn from one seed.

Contrast families take turns, and so do lesion sizes, so that every group has cases enough; the
same seed gives the same images on any machine's CPU. A network enters as a function from image to
logits, so that checkpoints and exported models, in any engine, are measured by the same lines.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from strokeseg.arrays import BoolArray, FloatArray
from strokeseg.decision import Decision, decide, refine
from strokeseg.decision import Rule as DecisionRule
from strokeseg.ensemble import Posterior
from strokeseg.errors import StrokesegError
from strokeseg.flips import FLIPS, flip
from strokeseg.grid import Grid
from strokeseg.overlap import dice
from strokeseg.training.contrasts import RANDOM_FAMILY
from strokeseg.training.label_table import TISSUES
from strokeseg.training.real import RealParams
from strokeseg.training.sample import LESION, Drawn, Sample, build_sample, draw_sample
from strokeseg.training.scores import LesionCounts, count_lesions
from strokeseg.training.settings import TrainConfig
from strokeseg.training.sources import Heads, Sources

LogitsFunction = Callable[[FloatArray], FloatArray]

SIZES_ML = {"<5 ml": (0.0, 5.0), "5-20 ml": (5.0, 20.0), ">20 ml": (20.0, math.inf)}
DRAWN_ML = ((0.5, 5.0), (5.0, 20.0), (20.0, 150.0))
FREE = "none"
TISSUE_NAMES = TISSUES[1:]
LESION_FREE_TURN = 10


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
    counts: LesionCounts | None
    tissue_dice: tuple[float, ...]

    @property
    def size(self) -> str:
        """Name of the case's group by lesion volume."""
        for name, (low, high) in SIZES_ML.items():
            if self.counts is not None and low <= self.true_ml < high:
                return name
        return FREE


def draw_case(index: int, sources: Sources, config: TrainConfig) -> Drawn:
    """Draw validation case `index`: its family, and whether and how large a lesion, by turns."""
    families = (*(s.name for s in sources.sequences), RANDOM_FAMILY)
    family = families[index % len(families)]
    free = index % LESION_FREE_TURN == LESION_FREE_TURN - 1
    volume_ml = DRAWN_ML[index // len(families) % len(DRAWN_ML)]
    chosen = tuple(s for s in sources.sequences if s.name == family)
    settings = case_config(config)
    settings = replace(
        settings,
        contrast=replace(settings.contrast, plausible_share=1.0 if chosen else 0.0, families=()),
        lesion=replace(
            settings.lesion,
            lesion_free_share=1.0 if free else 0.0,
            volume_ml=volume_ml,
            further_volume_ml=min(settings.lesion.further_volume_ml, volume_ml[1]),
        ),
    )
    return draw_sample(index, replace(sources, sequences=chosen or sources.sequences), settings)


def case_config(config: TrainConfig) -> TrainConfig:
    """Give the configuration that cases are drawn by: upright heads, whole, of another seed."""
    return replace(
        config,
        seed=config.validation.seed,
        spatial=replace(
            config.spatial,
            crop_vox=config.validation.crop_vox,
            canvas_vox=(0, 0, 0),
            flip_probability=(0.5, 0.0, 0.0),
            wander_vox=(2.0, 2.0, 2.0),
            roam_share=0.0,
            cut_share=0.0,
        ),
        data=replace(config.data, real_share=0.0, slice_share=0.0, scan_share=0.0),
        ageing=replace(config.ageing, share=0.0),
        intensity=replace(config.intensity, rim_share=0.0),
        lesion_only=False,
        loss=replace(config.loss, soft_target=False),
    )


def validation_samples(
    sources: Sources, config: TrainConfig, count: int | None = None
) -> Iterator[tuple[int, Sample]]:
    """Make the cases one after the other, on the CPU.

    Parameters
    ----------
    sources
        The held-out ones, `load_sources(config.data, held_out=True)`.
    config
        The run's; its table `validation` says how many cases and how large.
    count
        How many, where not as the configuration says.
    """
    settings = case_config(config)
    heads = Heads(sources.subjects, torch.device("cpu"))
    for index in range(config.validation.cases if count is None else count):
        yield index, build_sample(draw_case(index, sources, config), sources, settings, heads)


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
    answer = posterior(logits)
    classes = logits.argmax(axis=0)
    tissues = tuple(
        dice(classes == number, true == number) if logits.shape[0] > 2 else math.nan
        for number in range(1, len(TISSUES))
    )
    voxel_ml = voxel_size_mm**3 / 1000
    truth: BoolArray = true == LESION
    has_lesion = bool(truth.any())
    params = sample.drawn.made_of
    if isinstance(params, RealParams):
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
                counts=count_lesions(lesion, truth) if has_lesion else None,
                tissue_dice=tissues,
            )
        )
    return scores


def posterior(logits: FloatArray) -> Posterior:
    """Give what a lesion is found by: its probability, whether it is largest, the tissues."""
    return Posterior(
        probability=lesion_probability(logits),
        is_argmax=logits.argmax(axis=0) == logits.shape[0] - 1,
        tissue=logits[:-1].argmax(axis=0).astype(np.uint8),
        entropy=None,
    )


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


def lesion_probability(logits: FloatArray) -> FloatArray:
    """Softmax probability (I, J, K) of the last class."""
    above = logits - logits.max(axis=0)
    powers = np.exp(above)
    return np.asarray(powers[-1] / powers.sum(axis=0), dtype=np.float32)


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
