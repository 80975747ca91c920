"""One stage against two, on drawn cases that training never saw: by sequence, size and thickness.

``python -m strokeseg.training.stage_comparison runs/synth-open-two/model synth-open-two -o DIR``
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from strokeseg.errors import CannotCreateError, UsageError
from strokeseg.files.atomic import write_text
from strokeseg.files.tables import table
from strokeseg.measure.lesions import mask_volume_ml
from strokeseg.models.loading import LoadedModel, load_model
from strokeseg.prediction.options import Options
from strokeseg.prediction.pipeline import predict
from strokeseg.space.grid import Grid
from strokeseg.training.command_line import command_parser, run_command
from strokeseg.training.data.label_table import LESION
from strokeseg.training.data.sources import Heads, Sources, load_sources
from strokeseg.training.settings import TrainConfig
from strokeseg.training.stage_thresholds import (
    THRESHOLD_COLUMNS,
    UNMASKED,
    Judged,
    best_threshold,
    judge,
    keep_threshold,
    threshold_rows,
)
from strokeseg.training.stage_two.settings import read_stage_two_config, samples_config
from strokeseg.training.synthesis.sample import SampleParams, build_sample
from strokeseg.training.validation.cases import draw_case
from strokeseg.training.validation.scoring import FREE, SIZES_ML

STAGES = (1, 2)
THICK_MM = {"up to 1.5 mm": (0.0, 1.5), "1.5 to 4 mm": (1.5, 4.0), "over 4 mm": (4.0, math.inf)}

SUMMARY = "stages.tsv"
SUMMARY_COLUMNS = (
    *("by", "group", "n", "n_with_lesion", "dice_1", "dice_2", "dice_gain"),
    *("false_ml_1", "false_ml_2", "seconds_1", "seconds_2"),
)


@dataclass(frozen=True)
class Compared:
    """One case under both: Dice is NaN where there is no lesion."""

    case: int
    sequence: str
    size: str
    thickness: str
    true_ml: float
    threshold_1: float
    threshold_2: float
    dice_1: float
    dice_2: float
    false_ml_1: float
    false_ml_2: float
    seconds_1: float
    seconds_2: float


@dataclass(frozen=True)
class Trial:
    """One case under some models, each of them at every threshold; and how long each took."""

    case: int
    sequence: str
    size: str
    thickness: str
    true_ml: float
    judged: tuple[Judged, ...]
    seconds: tuple[float, ...]


def try_models(
    models: Sequence[LoadedModel],
    sources: Sources,
    run: TrainConfig,
    cases: int,
    *,
    flips: bool = False,
) -> Iterator[Trial]:
    """Predict drawn cases with some models, each as the product does.

    Parameters
    ----------
    models
        Each with the stages that it was loaded with.
    sources, run
        What cases are drawn from, and how (`strokeseg.training.stage_two.settings.samples_config`).
    cases
        How many; sequences and sizes take turns.
    flips
        Whether the first stage is averaged over its flips.
    """
    size = run.data.voxel_size_mm
    heads = Heads(sources.subjects, torch.device("cpu"))
    for case in range(cases):
        drawn = draw_case(case, sources, run)
        params = drawn.made_of
        if not isinstance(params, SampleParams):
            raise UsageError("a case that is not drawn cannot be compared")
        sample = build_sample(drawn, sources, run, heads)
        truth = sample.target.numpy() == LESION
        grid = Grid(truth.shape, np.diag([size, size, size, 1.0]))
        judged, seconds = [], []
        for model in models:
            started = time.perf_counter()
            image = (sample.image.numpy(), grid.affine)
            result = predict({"image": image}, model=model, options=Options(tta=flips, **UNMASKED))
            seconds.append(time.perf_counter() - started)
            judged.append(judge(result, model.model.config, truth))
        true_ml = mask_volume_ml(truth, grid)
        yield Trial(
            case,
            params.contrast.family,
            _named(SIZES_ML, true_ml) if true_ml else FREE,
            _named(THICK_MM, max(params.scanner.thickness_vox, 1.0) * size),
            true_ml,
            tuple(judged),
            tuple(seconds),
        )


def compared(trials: Sequence[Trial], one: int = 0, two: int = 1) -> list[Compared]:
    """Lay two of the models against each other, each at the threshold that suits it.

    A case is measured at the threshold of the best mean Dice over the cases of the other parity, so
    that no case chooses its own; of a single case it is the lowest.
    """
    chosen = {
        parity: [
            best_threshold([t.judged[n] for t in trials if t.case % 2 != parity])
            for n in (one, two)
        ]
        for parity in (0, 1)
    }
    found = []
    for trial in trials:
        thresholds = chosen[trial.case % 2]
        at = [trial.judged[n].at(t) for n, t in zip((one, two), thresholds, strict=True)]
        found.append(
            Compared(
                *(trial.case, trial.sequence, trial.size, trial.thickness, trial.true_ml),
                *thresholds,
                *(score.dice for score in at),
                *(score.false_ml for score in at),
                *(trial.seconds[n] for n in (one, two)),
            )
        )
    return found


def summarise(cases: Sequence[Compared]) -> list[tuple[str, ...]]:
    """Average over all cases, and over those of each sequence, size and slice thickness."""
    groups: dict[tuple[str, str], list[Compared]] = {}
    for case in cases:
        for by in ("all", "sequence", "size", "thickness"):
            name = "all" if by == "all" else str(getattr(case, by))
            groups.setdefault((by, name), []).append(case)
    order = sorted(groups, key=lambda key: (key[0] != "all", *key))
    return [(*key, *_averages(groups[key])) for key in order]


def _averages(cases: Sequence[Compared]) -> list[str]:
    lesions = [case for case in cases if not math.isnan(case.dice_1)]

    def mean(values: Sequence[float], digits: int) -> str:
        return f"{np.mean(values):.{digits}f}" if values else "n/a"

    return [
        str(len(cases)),
        str(len(lesions)),
        mean([case.dice_1 for case in lesions], 3),
        mean([case.dice_2 for case in lesions], 3),
        mean([case.dice_2 - case.dice_1 for case in lesions], 3),
        mean([case.false_ml_1 for case in cases], 2),
        mean([case.false_ml_2 for case in cases], 2),
        mean([case.seconds_1 for case in cases], 1),
        mean([case.seconds_2 for case in cases], 1),
    ]


def _named(bounds: Mapping[str, tuple[float, float]], value: float) -> str:
    # Voxels are counted: a thickness that is a bound belongs below it.
    return next(name for name, (low, high) in bounds.items() if low < value <= high)


def write_comparison(folder: Path, cases: Sequence[Compared], trials: Sequence[Trial]) -> Path:
    """Write `cases.tsv`, `thresholds.tsv` and `stages.tsv`; give the last.

    Raises
    ------
    CannotCreateError
        The folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreateError(f"{folder}: cannot be created ({error.strerror})") from error
    names = [one.name for one in fields(Compared)]
    rows = [[_cell(getattr(case, name)) for name in names] for case in cases]
    write_text(folder / "cases.tsv", table(names, rows))
    by_threshold = threshold_rows([trial.judged for trial in trials])
    write_text(folder / "thresholds.tsv", table(THRESHOLD_COLUMNS, by_threshold))
    write_text(folder / SUMMARY, table(SUMMARY_COLUMNS, summarise(cases)))
    return folder / SUMMARY


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "n/a" if math.isnan(value) else f"{value:.4f}"
    return str(value)


def main(arguments: Sequence[str] | None = None) -> str:
    """Run `python -m strokeseg.training.stage_comparison`."""
    parser = command_parser("stage_comparison", __doc__)
    parser.add_argument("model", help="of two stages: a name or a folder")
    parser.add_argument("config", help="of its training: held-out heads and lesions are drawn")
    parser.add_argument("--first", help="the model of one stage; else the configuration's")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--edge", type=int, help="of a case in voxels; else the configuration's")
    parser.add_argument("--flips", action="store_true", help="average the first stage over flips")
    parser.add_argument(
        "--keep-threshold",
        action="store_true",
        help="write the threshold of the best mean Dice over all cases into the model's config",
    )
    chosen = parser.parse_args(arguments)
    settings = read_stage_two_config(chosen.config)
    run = samples_config(settings, edge_vox=chosen.edge)
    sources = load_sources(run.data, held_out=True)
    models = load_model(chosen.first or settings.first, stages=1), load_model(chosen.model)
    if models[1].second is None:
        raise UsageError(f"{models[1].model.name} has one stage; there is nothing to compare")
    trials: list[Trial] = []
    # After each, so that a comparison that is broken off leaves what it had.
    for trial in try_models(models, sources, run, chosen.cases, flips=chosen.flips):
        trials.append(trial)
        write_comparison(chosen.output, compared(trials), trials)
    if chosen.keep_threshold:
        threshold = best_threshold([trial.judged[1] for trial in trials])
        keep_threshold(models[1].model.folder, threshold)
    path: Path = chosen.output / SUMMARY
    return path.read_text()


if __name__ == "__main__":
    run_command(main)
