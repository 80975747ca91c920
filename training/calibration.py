"""What a probability is worth, and the threshold and least volume that the validation set asks for.

The logits are scaled first (`strokeseg.training.validation.scaling`); then rules are judged, every
case passing the network once for all of them. ``python -m strokeseg.training.calibration
runs/synth-open/last.pt -o DIR`` writes scaling.json, rules.md and reliability.png, and says what
`strokeseg.training.export` (`strokeseg.training.join` for a model of several networks, which is
given by its folder) is to be given; each case is averaged over the eight flips, as inference does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from strokeseg.arrays import BoolArray, FloatArray
from strokeseg.engines.choice import open_engine
from strokeseg.errors import UsageError
from strokeseg.files.atomic import write_text
from strokeseg.models.loading import Hardware, load_model
from strokeseg.prediction.ensemble import classify
from strokeseg.training.command_line import command_parser, run_command
from strokeseg.training.config import from_document, read_config
from strokeseg.training.data.label_table import LESION, TISSUES
from strokeseg.training.data.sources import Sources, load_sources
from strokeseg.training.fitting.checkpoint import load_checkpoint
from strokeseg.training.fitting.run import inference_weights, network_spec
from strokeseg.training.settings import TrainConfig
from strokeseg.training.validation.cases import validation_samples
from strokeseg.training.validation.groups import GroupScore, summarise
from strokeseg.training.validation.scaling import fit_scaling, with_scaling, write_scaling
from strokeseg.training.validation.scoring import (
    CaseScore,
    LogitsFunction,
    Rule,
    over_flips,
    score_rules,
)

THRESHOLDS = (None, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6)
MIN_VOLUMES_ML = (0.0, 0.1, 0.3)
MIN_PEAKS = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8)
# Rules whose lesion Dice and LF1 sum up to this less than the best are as good.
TIE = 0.02
BINS = 10


@dataclass(frozen=True)
class Reliability:
    """Lesion probability in bins of a tenth: mean said, share that was lesion, voxels.

    NaN where a bin holds no voxel.
    """

    said: FloatArray
    true: FloatArray
    voxels: FloatArray


@dataclass(frozen=True)
class Calibration:
    """Scores over the whole set under each rule, the best rule, and the reliability."""

    by_rule: tuple[tuple[Rule, GroupScore], ...]
    best: Rule
    reliability: Reliability


def calibrate(
    logits_fn: LogitsFunction,
    sources: Sources,
    config: TrainConfig,
    rules: Sequence[Rule] | None = None,
    count: int | None = None,
) -> Calibration:
    """Judge rules on the validation set.

    The best is, of those whose lesion Dice plus LF1 is within `TIE` of the highest, the one that
    finds the least where there is no lesion; of several, one of the largest least volume.

    Parameters
    ----------
    logits_fn
        Image (I, J, K) to logits (C, I, J, K).
    sources
        The held-out heads and lesions.
    config
        The run's.
    rules
        Which; without, `default_rules`.
    count
        How many cases, where not as the configuration says.
    """
    rules = rules or default_rules()
    names = [subject.name for subject in sources.subjects]
    scores: list[list[CaseScore]] = [[] for _ in rules]
    sums = np.zeros((3, BINS))
    for index, sample in validation_samples(sources, config, count):
        logits = logits_fn(sample.image.numpy())
        judged = score_rules(index, sample, logits, names, rules, config.data.voxel_size_mm)
        for found, score in zip(scores, judged, strict=True):
            found.append(score)
        target = sample.target.numpy()
        # Judged within the brain alone: of the air around the head nobody doubts anything.
        inside = (target > 0) & (target <= len(TISSUES))
        sums += _binned(classify(logits).probability[inside], target[inside] == LESION)
    by_rule = tuple((rule, summarise(found)[0]) for rule, found in zip(rules, scores, strict=True))
    with np.errstate(invalid="ignore"):
        said, true = (row / sums[2] for row in sums[:2])
    reliability = Reliability(
        said.astype(np.float32), true.astype(np.float32), sums[2].astype(np.float32)
    )
    return Calibration(by_rule, _best(by_rule), reliability)


def default_rules() -> list[Rule]:
    """Give every threshold with every least volume, and the peaks above it; with the brain mask.

    The rules without the brain mask have no peak: on heads as tidy as these it hardly matters.
    """
    pairs = [(threshold, volume) for threshold in THRESHOLDS for volume in MIN_VOLUMES_ML]
    plain = [Rule(threshold, volume) for threshold, volume in pairs]
    return plain + [
        Rule(threshold, volume, needs_brain=True, min_peak=peak)
        for threshold, volume in pairs
        for peak in MIN_PEAKS
        if peak == 0 or peak > (threshold or 0.5)
    ]


def _best(by_rule: Sequence[tuple[Rule, GroupScore]]) -> Rule:
    def worth(score: GroupScore) -> float:
        return float(np.nan_to_num(score.lesion_dice + score.lf1))

    highest = max(worth(score) for _, score in by_rule)
    near = [entry for entry in by_rule if worth(entry[1]) >= highest - TIE]

    def fault(entry: tuple[Rule, GroupScore]) -> tuple[float, float]:
        return float(np.nan_to_num(entry[1].false_ml)), -entry[0].min_volume_ml

    return min(near, key=fault)[0]


def _binned(probability: FloatArray, lesion: BoolArray) -> FloatArray:
    """Sum probabilities, lesion voxels and voxels up in bins; (3, BINS)."""
    bins = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    weights = (probability, lesion.astype(np.float64), np.ones(bins.size))
    return np.stack([np.bincount(bins, w, minlength=BINS) for w in weights]).astype(np.float32)


def rules_table(calibration: Calibration) -> str:
    """Give the rules as a Markdown table, for a model card; the best is marked."""
    head = "| threshold | peak | least ml | brain mask | lesion Dice | LF1 | false ml, no lesion |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for rule, score in calibration.by_rule:
        name = "largest class" if rule.threshold is None else f"{rule.threshold:g}"
        mark = " (best)" if rule == calibration.best else ""
        numbers = f"{score.lesion_dice:.3f} | {score.lf1:.3f} | {score.false_ml:.2f}"
        brain = "yes" if rule.needs_brain else "no"
        least = f"{rule.min_peak:g} | {rule.min_volume_ml:g}"
        lines.append(f"| {name}{mark} | {least} | {brain} | {numbers} |")
    return "\n".join(lines)


def draw_reliability(reliability: Reliability, path: Path) -> None:
    """Draw the share of lesion over the probability that was said, as PNG."""
    # Imported here: it is slow, and only pictures need it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 4.2), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--", label="perfect")
    known = reliability.voxels > 0
    axes.plot(reliability.said[known], reliability.true[known], marker="o", label="model")
    axes.set(xlabel="lesion probability", ylabel="share that is lesion", xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    axes.grid(visible=True, alpha=0.3)
    canvas.print_png(str(path))  # type: ignore[no-untyped-call]


def _opened(model: str, config: str, engine: str) -> tuple[LogitsFunction, TrainConfig]:
    """Open a checkpoint, which knows its configuration, or a model by its folder or name."""
    path = Path(model)
    if not (path.is_file() or path.suffix == ".pt"):
        loaded = load_model(model, Hardware(engine=engine))
        if loaded.engine.classes != LESION + 1:
            raise UsageError(f"{model}: tells {loaded.engine.classes} classes, not {LESION + 1}")
        return loaded.engine.logits, read_config(config)
    state = load_checkpoint(path)
    run = from_document(state.config)
    spec = network_spec(run)
    return open_engine(spec, inference_weights(state.average, spec), engine=engine).logits, run


def main(arguments: Sequence[str] | None = None) -> str:
    """Run `python -m strokeseg.training.calibration`."""
    parser = command_parser("calibration", __doc__)
    parser.add_argument("model", help="a checkpoint, or a model's folder or name")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a folder")
    parser.add_argument("--config", default="synth-open", help="heads, for a model's folder")
    parser.add_argument("--cases", type=int, help="else as the configuration says")
    parser.add_argument("--fast", action="store_true", help="one pass, no flips")
    parser.add_argument("--engine", default="auto")
    chosen = parser.parse_args(arguments)
    if chosen.cases is not None and chosen.cases < 1:
        raise UsageError(f"--cases is {chosen.cases}: give 1 or more")
    logits_fn, config = _opened(chosen.model, chosen.config, chosen.engine)
    if not chosen.fast:
        logits_fn = over_flips(logits_fn)
    held_out = load_sources(config.data, held_out=True)
    chosen.output.mkdir(parents=True, exist_ok=True)
    scaling = fit_scaling(logits_fn, held_out, config, chosen.cases)
    scaling_path = chosen.output / "scaling.json"
    write_scaling(scaling, scaling_path)
    scaled = with_scaling(logits_fn, scaling)
    calibration = calibrate(scaled, held_out, config, count=chosen.cases)
    write_text(chosen.output / "rules.md", rules_table(calibration) + "\n")
    draw_reliability(calibration.reliability, chosen.output / "reliability.png")
    best = calibration.best
    rule = "" if best.threshold is None else f" --threshold {best.threshold}"
    return (
        f"--scaling {scaling_path}{rule} --min-volume-ml {best.min_volume_ml} "
        f"--min-peak {best.min_peak} --{'' if best.needs_brain else 'no-'}brain-mask"
    )


if __name__ == "__main__":
    run_command(main)
