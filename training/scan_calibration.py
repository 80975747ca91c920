"""Fusion, threshold, peak, least volume and hull, chosen on whole scans by one command.

``python -m strokeseg.training.scan_calibration weights/synth-open -o DIR`` (or a checkpoint, whose
logits are scaled first) lets the model see the validation scans as inference does, compares rules
on what it said, and writes decision.json, the settings for the model's config.json, and
decision.md, the tables. What was seen is kept in DIR/seen: a second run compares rules only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from strokeseg.files.atomic import write_text
from strokeseg.files.json_files import write_json
from strokeseg.models.fusion import OTHER, Fusion
from strokeseg.prediction.options import Options
from strokeseg.training.calibrated_model import (
    calibration_parser,
    check_given,
    open_calibrated,
    write_decision,
)
from strokeseg.training.command_line import run_command
from strokeseg.training.validation.scan_rules import START_PEAK, Choice, Judge, Mark
from strokeseg.training.validation.seen_scans import SeenCase, see_cases, seen_folder
from strokeseg.training.validation.whole_scans import Sizes, validation_scans

THRESHOLDS = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
PEAKS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
VOLUMES_ML = (0.0, 0.1, 0.3)
MARGINS_MM: tuple[float | None, ...] = (None, 0.0, 2.0, 4.0, 6.0, 10.0)
# Rules whose Dice plus LF1 is within this of the best are as good: the least false lesion decides.
TIE = 0.01
NO_WEIGHTS: Mapping[str, float] = MappingProxyType({})


def fusions(weights: Mapping[str, float] = NO_WEIGHTS) -> dict[str, Fusion]:
    """Give the fusions that are compared, by name; sequences count by `weights` in all of them."""
    found = {
        "mean of logits": Fusion(),
        "noisy or": Fusion("noisy_or"),
        "mean of the two best": Fusion("best_two"),
        "maximum": Fusion("pooled", sharpness=20.0),
    }
    for sharpness in (0.5, 1.0, 2.0):
        found[f"pooled, sharpness {sharpness:g}"] = Fusion("pooled", sharpness=sharpness)
    for floor in (0.02, 0.05, 0.1):
        floored = Fusion("pooled", floors={OTHER: floor}, sharpness=0.0)
        found[f"mean with a floor of {floor:g}"] = floored
    return {name: replace(fusion, weights=dict(weights)) for name, fusion in found.items()}


@dataclass(frozen=True)
class Trial:
    """A choice under its name, and how every case came out."""

    name: str
    choice: Choice
    marks: tuple[Mark, ...]

    def groups(self) -> dict[str, tuple[float, float, int]]:
        """Give Dice (or, without lesion, false ml), LF1 and n by group."""
        names = sorted({mark.group for mark in self.marks})
        return {name: _means([m for m in self.marks if m.group == name]) for name in names}

    @property
    def worth(self) -> float:
        """Dice plus LF1, the mean over the groups with lesions."""
        with_lesion = [m for m in self.marks if m.dice is not None]
        groups = {m.group for m in with_lesion}
        means = [_means([m for m in with_lesion if m.group == name]) for name in groups]
        return float(np.mean([score + f1 for score, f1, _ in means])) if means else 0.0

    @property
    def false_ml(self) -> float:
        """False lesion where there is none, the mean over the groups."""
        free = [m for m in self.marks if m.dice is None]
        groups = {m.group for m in free}
        means = [np.mean([m.false_ml for m in free if m.group == name]) for name in groups]
        return float(np.mean(means)) if means else 0.0


def _means(marks: Sequence[Mark]) -> tuple[float, float, int]:
    scored = [m for m in marks if m.dice is not None]
    if not scored:
        return float(np.mean([m.false_ml for m in marks])), 0.0, len(marks)
    pairs = [(m.dice or 0.0, m.f1 or 0.0) for m in scored]
    first, second = np.mean(pairs, axis=0).tolist()
    return first, second, len(scored)


def best(trials: Sequence[Trial]) -> Trial:
    """Give the trial of least false lesion among those as good as the best."""
    highest = max(trial.worth for trial in trials)
    return min((t for t in trials if t.worth >= highest - TIE), key=lambda t: t.false_ml)


def choose(
    judges: Sequence[Judge], weights: Mapping[str, float] = NO_WEIGHTS
) -> tuple[Choice, list[list[Trial]]]:
    """Choose the fusion and its threshold, then the hull, then threshold, peak and volume.

    Parameters
    ----------
    judges
        Of one case each.
    weights
        How much a sequence counts beside the others, by modality; they are kept as they are.

    Returns
    -------
    choice, stages
        The best, and what was tried at each stage.
    """
    first = [
        _trial(
            f"{name}, {threshold:g}", Choice(fusion, threshold, max(START_PEAK, threshold)), judges
        )
        for name, fusion in fusions(weights).items()
        for threshold in THRESHOLDS
        if _can_be_silent(fusion, threshold)
    ]
    start = best(first).choice
    second = [
        _trial(
            "anywhere" if margin is None else f"hull and {margin:g} mm",
            replace(start, hull_margin_mm=margin),
            judges,
        )
        for margin in MARGINS_MM
    ]
    start = best(second).choice
    rules = [(peak, volume) for peak in PEAKS for volume in VOLUMES_ML]
    third = []
    for threshold in (t for t in THRESHOLDS if _can_be_silent(start.fusion, t)):
        asked = [rule for rule in rules if rule[0] == 0 or rule[0] > threshold]
        base = replace(start, threshold=threshold)
        rows = [judge.marks(base, asked) for judge in judges]
        for column, (peak, volume) in enumerate(asked):
            choice = replace(base, min_peak=peak, min_volume_ml=volume)
            name = f"{threshold:g}, peak {peak:g}, {volume:g} ml"
            third.append(Trial(name, choice, tuple(row[column] for row in rows)))
    return best(third).choice, [first, second, third]


def _can_be_silent(fusion: Fusion, threshold: float) -> bool:
    """Tell whether sequences at their floors leave a voxel below the threshold.

    Else all of every brain is lesion, which touches every true one.
    """
    return all(2 * floor < threshold for floor in fusion.floors.values())


def _trial(name: str, choice: Choice, judges: Sequence[Judge]) -> Trial:
    return Trial(name, choice, tuple(judge.mark(choice) for judge in judges))


def gains(cases: Sequence[SeenCase], choice: Choice) -> dict[str, tuple[float, float, int]]:
    """Give, by sequence, the mean Dice without it and with it, and n, where there are others.

    Cases without lesion are left out.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for case in cases:
        if case.truth is None or len(case.members) < 2:
            continue
        whole = Judge(case).mark(choice).dice or 0.0
        for modality in case.modalities:
            others = tuple(m for m in case.members if m.modality != modality)
            without = Judge(replace(case, members=others)).mark(choice).dice or 0.0
            found.setdefault(modality, []).append((without, whole))
    table = {}
    for modality, pairs in found.items():
        without, together = np.mean(pairs, axis=0).tolist()
        table[modality] = (without, together, len(pairs))
    return table


def tables(stages: Sequence[Sequence[Trial]], gained: dict[str, tuple[float, float, int]]) -> str:
    """Give the choice and what it was chosen from as Markdown, for a model card."""
    final = best(stages[-1])
    lines = ["| group | n | Dice | LF1 | false ml, no lesion |", "|---|---|---|---|---|"]
    free = {mark.group for mark in final.marks if mark.dice is None}
    for name, (value, f1, count) in final.groups().items():
        numbers = f"- | - | {value:.1f}" if name in free else f"{value:.2f} | {f1:.2f} | -"
        lines.append(f"| {name} | {count} | {numbers} |")
    lines += ["", "| sequence | n | Dice of the others | with it |", "|---|---|---|---|"]
    lines += [f"| {name} | {n} | {a:.2f} | {b:.2f} |" for name, (a, b, n) in gained.items()]
    for trials in stages:
        chosen = best(trials)
        lines += ["", "| rule | Dice + LF1 | false ml |", "|---|---|---|"]
        others = [trial for trial in trials if trial is not chosen]
        for trial in (chosen, *sorted(others, key=lambda trial: -trial.worth)[:24]):
            mark = " (chosen)" if trial is chosen else ""
            lines.append(f"| {trial.name}{mark} | {trial.worth:.3f} | {trial.false_ml:.2f} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> str:
    """Run `python -m strokeseg.training.scan_calibration`."""
    parser = calibration_parser("scan_calibration", __doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the drawn cases and slices")
    parser.add_argument("--fast", action="store_true", help="one pass, no flips")
    chosen = parser.parse_args(arguments)
    check_given(chosen.model, chosen.data, write=chosen.write)
    opened = open_calibrated(
        chosen.model, chosen.config, chosen.output, chosen.engine, chosen.threads
    )
    chosen.output.mkdir(parents=True, exist_ok=True)
    usual = Sizes()
    counts = (usual.single, usual.several, usual.slices, usual.free_slices)
    sizes = Sizes(*(max(1, round(chosen.share * count)) for count in counts))
    scans = validation_scans(opened.sources, opened.config, chosen.data, sizes)
    seen = seen_folder(chosen.output, opened.loaded, f"{chosen.share:g}", fast=chosen.fast)
    options = Options(field_of_view="brain", tta=not chosen.fast)
    cases = tuple(see_cases(scans, opened.loaded, options, seen))
    weights = opened.loaded.model.config.fusion.weights
    choice, stages = choose([Judge(case) for case in cases], weights)
    write_json(chosen.output / "decision.json", choice.settings())
    write_text(chosen.output / "decision.md", tables(stages, gains(cases, choice)))
    if chosen.write:
        write_decision(Path(chosen.model), choice.settings())
    return f"{chosen.output / 'decision.json'}: {choice.settings()}"


if __name__ == "__main__":
    run_command(main)
