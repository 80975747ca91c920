"""What to add to the lesion's logit in scans of each sequence, chosen by one command.

``python -m strokeseg.training.sequence_calibration weights/synth-open -o DIR`` lets the model see,
of each sequence, held-out heads with a lesion that the scan shows, lesions pasted on held-out real
scans, and real scans without stroke, as inference does. It raises the lesion's logit as long as
more is found and little invented, and writes lesion_offsets.json, the setting for the model's
config.json, and lesion_offsets.md, the tables. What was seen is kept in DIR: a second run compares
offsets alone.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from strokeseg.errors import DataError, UsageError
from strokeseg.files.atomic import write_text
from strokeseg.files.json_files import write_json
from strokeseg.images.reading import read_scan
from strokeseg.models.config import ModelConfig
from strokeseg.prediction.options import Options
from strokeseg.training.calibrated_model import (
    calibration_parser,
    check_given,
    open_calibrated,
    write_decision,
)
from strokeseg.training.command_line import run_command
from strokeseg.training.data.label_table import LESION
from strokeseg.training.data.sources import Sources
from strokeseg.training.settings import TrainConfig
from strokeseg.training.validation.cases import visible_samples
from strokeseg.training.validation.scan_rules import Choice, Judge
from strokeseg.training.validation.seen_scans import SeenCase, see_cases, seen_folder
from strokeseg.training.validation.whole_heads import MODALITIES
from strokeseg.training.validation.whole_scans import ScanCase, free_scans

FIELD = "lesion_offsets"
OFFSETS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
DRAWN, PASTED, FREE = "drawn", "pasted", "no stroke"
# An offset is as good as the best within this, and the least of those is taken.
TIE = 0.01
# With fewer scans without stroke nobody can tell what an offset invents.
LEAST_FREE = 2


@dataclass(frozen=True)
class Row:
    """A sequence at one offset: mean Dice by kind of case, and mean false ml without stroke."""

    offset: float
    dice: dict[str, float]
    false_ml: float

    @property
    def worth(self) -> float:
        """Mean Dice over the kinds."""
        return float(np.mean(list(self.dice.values()))) if self.dice else 0.0


def sequence_cases(
    sources: Sources, config: TrainConfig, data: Path, count: int
) -> Iterator[ScanCase]:
    """Make `count` drawn and pasted cases of each sequence, and give the real scans without stroke.

    Parameters
    ----------
    sources, config
        The held-out heads, lesions and real scans, and the run's configuration.
    data
        The folder of real scans without stroke.
    count
        How many of each.
    """
    edge = config.data.voxel_size_mm
    affine = np.diag([edge, edge, edge, 1.0])
    for family, modality in MODALITIES.items():
        for kind in (DRAWN, PASTED):
            samples = visible_samples(family, sources, config, count, pasted=kind == PASTED)
            for index, sample in samples:
                scans = {modality: read_scan((sample.image.numpy(), affine))}
                truth = sample.target.numpy() == LESION
                yield ScanCase(f"{kind} {family} {index}", kind, scans, truth)
    for case in free_scans(data, config):
        if len(case.scans) == 1:
            yield replace(case, group=FREE)


def rows_of(cases: Sequence[SeenCase], config: ModelConfig) -> dict[str, list[Row]]:
    """Judge every offset on the cases of each modality, by the model's own rule.

    A scan that is alone has the same lesion with an offset as with a lower threshold and peak.

    Raises
    ------
    UsageError
        The model has no threshold that an offset could go with.
    """
    if config.threshold is None:
        raise UsageError("the model's config has no threshold; choose one by scan_calibration")
    found: dict[str, list[Row]] = {}
    judges = [(case.modalities[0], case.group, Judge(case)) for case in cases]
    for offset in OFFSETS:
        choice = Choice(
            config.fusion,
            _lowered(config.threshold, offset),
            _lowered(config.min_peak, offset),
            config.min_volume_ml,
            config.hull_margin_mm,
        )
        marks = [(modality, judge.mark(choice)) for modality, _, judge in judges]
        for modality in sorted({modality for modality, _ in marks}):
            own = [mark for name, mark in marks if name == modality]
            scored = {mark.group for mark in own if mark.dice is not None}
            dice = {
                group: float(np.mean([m.dice or 0.0 for m in own if m.group == group]))
                for group in sorted(scored)
            }
            free = [mark.false_ml for mark in own if mark.dice is None]
            false_ml = float(np.mean(free)) if len(free) >= LEAST_FREE else math.inf
            found.setdefault(modality, []).append(Row(offset, dice, false_ml))
    return found


def _lowered(probability: float, offset: float) -> float:
    """Give the probability that an offset lifts to this one."""
    if probability <= 0:
        return 0.0
    return 1 / (1 + math.exp(offset - math.log(probability / (1 - probability))))


def chosen_row(rows: Sequence[Row], limit_ml: float) -> Row:
    """Give the least offset that is as good as the best of those that invent little.

    Parameters
    ----------
    rows
        Of one modality, by rising offset, the first without one.
    limit_ml
        What scans without stroke may have of false lesion, unless they have more without offset.
    """
    most = max(limit_ml, rows[0].false_ml)
    allowed = [r for r in rows if r.false_ml <= most and r.false_ml < math.inf] or [rows[0]]
    best = max(row.worth for row in allowed)
    return next(row for row in allowed if row.worth >= best - TIE)


def tables(rows: dict[str, list[Row]], chosen: dict[str, Row], counts: dict[str, str]) -> str:
    """Give what the offsets were chosen from as Markdown, for a model card."""
    heads = (
        *("sequence", f"n {DRAWN}, {PASTED}, {FREE}", "offset"),
        *(f"Dice {DRAWN}", f"Dice {PASTED}", "false ml"),
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for modality, own in rows.items():
        for row in own:
            kinds = (f"{row.dice[k]:.3f}" if k in row.dice else "-" for k in (DRAWN, PASTED))
            false = f"{row.false_ml:.2f}" if row.false_ml < math.inf else "-"
            mark = " (chosen)" if row is chosen[modality] else ""
            cells = (modality, counts[modality], f"{row.offset:g}{mark}", *kinds, false)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> str:
    """Run `python -m strokeseg.training.sequence_calibration`."""
    parser = calibration_parser("sequence_calibration", __doc__)
    parser.add_argument("--count", type=int, default=16, help="drawn and pasted cases a sequence")
    parser.add_argument("--limit-ml", type=float, default=0.5, help="false lesion without stroke")
    parser.add_argument("--fast", action="store_true", help="one pass, no flips")
    given = parser.parse_args(arguments)
    check_given(given.model, given.data, write=given.write)
    opened = open_calibrated(given.model, given.config, given.output, given.engine, given.threads)
    config = opened.loaded.model.config
    if config.lesion_offsets:
        raise UsageError(f"{given.model}: has lesion_offsets already; take them out to choose anew")
    given.output.mkdir(parents=True, exist_ok=True)
    scans = sequence_cases(opened.sources, opened.config, given.data, given.count)
    seen = seen_folder(given.output, opened.loaded, str(given.count), fast=given.fast)
    options = Options(field_of_view="brain", tta=not given.fast)
    cases = tuple(see_cases(scans, opened.loaded, options, seen))
    if not cases:
        raise DataError("no case could be drawn and no scan without stroke is there")
    rows = rows_of(cases, config)
    chosen = {name: chosen_row(own, given.limit_ml) for name, own in rows.items()}
    settings = {FIELD: {name: row.offset for name, row in chosen.items() if row.offset}}
    write_json(given.output / f"{FIELD}.json", settings)
    write_text(given.output / f"{FIELD}.md", tables(rows, chosen, _counts(cases)))
    if given.write:
        write_decision(Path(given.model), settings)
    return f"{given.output / f'{FIELD}.json'}: {settings[FIELD]}"


def _counts(cases: Sequence[SeenCase]) -> dict[str, str]:
    """Count each modality's cases by kind."""
    found: dict[str, str] = {}
    for modality in {case.modalities[0] for case in cases}:
        own = [case.group for case in cases if case.modalities[0] == modality]
        found[modality] = ", ".join(str(own.count(kind)) for kind in (DRAWN, PASTED, FREE))
    return found


if __name__ == "__main__":
    run_command(main)
