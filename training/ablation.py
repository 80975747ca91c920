"""What one change to a recipe is worth: variants of a run, the same steps each, in one table.

``python -m strokeseg.training.ablation ablation.toml -o DIR`` trains each variant, measures it on
the validation set under its own best rule (threshold and least volume), and writes table.md. What
was finished before is kept, and what was begun goes on.
"""

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from strokeseg.engines.choice import open_engine
from strokeseg.errors import DataError, InputNotFoundError, UsageError
from strokeseg.files.atomic import write_text
from strokeseg.files.json_files import write_json
from strokeseg.training.calibration import calibrate
from strokeseg.training.command_line import command_parser, run_command
from strokeseg.training.config import (
    as_document,
    bundled_configs,
    from_document,
    located,
    read_config,
)
from strokeseg.training.config_checks import check
from strokeseg.training.data.sources import load_sources
from strokeseg.training.fitting.checkpoint import load_checkpoint
from strokeseg.training.fitting.loop import Session, train
from strokeseg.training.fitting.run import inference_weights, network_spec
from strokeseg.training.settings import TrainConfig

SCORE_FILE = "score.json"
KEYS = {"base", "steps", "common", "variants"}


@dataclass(frozen=True)
class Variant:
    """A named change to the base: its keys as dotted text, and the configuration that it gives.

    `measured` is what its validation cases are drawn by: the base, normalised as the variant is, so
    that all variants see the same heads and lesions.
    """

    name: str
    change: str
    config: TrainConfig
    measured: TrainConfig


@dataclass(frozen=True)
class VariantScore:
    """Means over the validation set under the variant's own best rule."""

    name: str
    change: str
    steps: int
    threshold: float | None
    min_volume_ml: float
    min_peak: float
    count: int
    lesion_dice: float
    lf1: float
    tissue_dice: tuple[float, ...]
    false_ml: float


def read_variants(path: Path) -> tuple[Variant, ...]:
    """Read an ablation: `base` (a configuration), `steps`, and a table of changes per variant.

    Relative paths in it count from its own folder.

    The table `common`, if there is one, holds changes to the base that all variants share.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    UsageError
        It is not TOML, has an unknown key, or a variant is no configuration.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputNotFoundError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    unknown = sorted(set(document) - KEYS)
    common = document.get("common", {})
    if unknown or not (isinstance(common, dict) and isinstance(document.get("variants"), dict)):
        raise UsageError(
            f"{path}: needs base, steps and a table [variants.NAME] for each variant; [common] is "
            "a table too" + (f"; unknown is {unknown[0]!r}" if unknown else "")
        )
    named = str(document.get("base", ""))
    known = named in bundled_configs()
    base = as_document(read_config(named if known else path.parent / named))
    base["optimiser"]["steps"] = document.get("steps", base["optimiser"]["steps"])
    base = _changed(base, common)
    return tuple(
        _variant(name, base, change, path) for name, change in document["variants"].items()
    )


def _variant(name: str, base: dict[str, Any], change: Mapping[str, Any], path: Path) -> Variant:
    if not isinstance(change, Mapping) or name != Path(name).name or name.startswith("."):
        raise UsageError(f"{path}: [variants.{name}] must be a table, its name a file's")
    config = located(from_document({**_changed(base, change), "name": name}), path.parent)
    check(config, f"{path} [variants.{name}]")
    plain = located(from_document(base), path.parent)
    scanner = replace(plain.intensity, normalisation=config.intensity.normalisation)
    return Variant(
        name=name,
        change=", ".join(_flat(change)) or "-",
        config=replace(config, validation_steps=0),
        measured=replace(plain, intensity=scanner),
    )


def _changed(base: dict[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Give the base with a change; what is a table in both is merged."""
    changed = {
        key: {**base[key], **value}
        if isinstance(value, dict) and isinstance(base.get(key), dict)
        else value
        for key, value in change.items()
    }
    return {**base, **changed}


def _flat(change: Mapping[str, Any], before: str = "") -> list[str]:
    """Give the leaves of nested tables as `key.key = value`."""
    leaves: list[str] = []
    for key, value in change.items():
        if isinstance(value, Mapping):
            leaves += _flat(value, f"{before}{key}.")
        else:
            leaves.append(f"{before}{key} = {json.dumps(value, default=str)}")
    return leaves


def measure_variant(variant: Variant, folder: Path, session: Session) -> VariantScore | None:
    """Train a variant (or go on with it) and measure it; None if the time ran out before its end.

    Raises
    ------
    DataError
        The folder holds the score of another change.
    """
    score_path = folder / SCORE_FILE
    if score_path.exists():
        kept = _read_score(score_path)
        if kept.change != variant.change or kept.steps != variant.config.optimiser.steps:
            raise DataError(f"{folder}: holds the score of another variant; name another folder")
        return kept
    state = load_checkpoint(train(variant.config, folder, session, resume=True))
    if state.step < variant.config.optimiser.steps:
        return None
    spec = network_spec(variant.config)
    engine = open_engine(spec, inference_weights(state.average, spec))
    held_out = load_sources(variant.measured.data, held_out=True)
    made = calibrate(engine.logits, held_out, variant.measured)
    best = dict(made.by_rule)[made.best]
    score = VariantScore(
        name=variant.name,
        change=variant.change,
        steps=state.step,
        threshold=made.best.threshold,
        min_volume_ml=made.best.min_volume_ml,
        min_peak=made.best.min_peak,
        count=best.count,
        lesion_dice=best.lesion_dice,
        lf1=best.lf1,
        tissue_dice=best.tissue_dice,
        false_ml=best.false_ml,
    )
    write_json(score_path, asdict(score))
    return score


def _read_score(path: Path) -> VariantScore:
    """Read a score; JSON has null where a mean was over nothing."""
    document = json.loads(path.read_text())
    means = {
        key: math.nan if document[key] is None else document[key]
        for key in ("lesion_dice", "lf1", "false_ml")
    }
    tissues = tuple(math.nan if v is None else v for v in document["tissue_dice"])
    return VariantScore(**{**document, **means, "tissue_dice": tissues})


def ablation_table(scores: Sequence[VariantScore]) -> str:
    """Give the scores as a Markdown table, for a model card."""
    head = "| variant | change | steps | n | lesion Dice | LF1 | tissue Dice | false ml |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for score in scores:
        tissue = [value for value in score.tissue_dice if not math.isnan(value)]
        mean = sum(tissue) / len(tissue) if tissue else math.nan
        numbers = f"{score.lesion_dice:.3f} | {score.lf1:.3f} | {mean:.3f} | {score.false_ml:.1f}"
        change = score.change.replace("|", "\\|")
        lines.append(f"| {score.name} | {change} | {score.steps} | {score.count} | {numbers} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> str:
    """Run `python -m strokeseg.training.ablation`."""
    parser = command_parser("ablation", __doc__)
    parser.add_argument("variants", type=Path, help="a TOML file")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a folder")
    chosen = parser.parse_args(arguments)
    scores = []
    for variant in read_variants(chosen.variants):
        session = Session(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        score = measure_variant(variant, chosen.output / variant.name, session)
        if score is not None:
            scores.append(score)
            write_text(chosen.output / "table.md", ablation_table(scores) + "\n")
    return str(chosen.output / "table.md") if scores else ""


if __name__ == "__main__":
    run_command(main)
