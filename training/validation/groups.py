"""Validation results as tables: one row per case, and means per group."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from strokeseg.files.atomic import write_atomically
from strokeseg.training.validation.scoring import FREE, SIZES_ML, TISSUE_NAMES, CaseScore

THICKNESSES_MM = {"to 2 mm": (0.0, 2.01), "2-4 mm": (2.01, 4.0), ">4 mm": (4.0, math.inf)}
COLUMNS = ("n", "lesion_dice", "lf1", *TISSUE_NAMES, "n_free", "false_ml_free")


@dataclass(frozen=True)
class GroupScore:
    """Means over a group of cases.

    `count` cases have a lesion, `free` have none; `false_ml` is the mean volume of false lesion
    in those, NaN where there is none. `tissue_dice` is in the order of `TISSUE_NAMES`.
    """

    kind: str
    name: str
    count: int
    lesion_dice: float
    lf1: float
    tissue_dice: tuple[float, ...]
    free: int
    false_ml: float


def summarise(scores: Sequence[CaseScore]) -> tuple[GroupScore, ...]:
    """Average over all cases, by contrast family, by lesion size, and by slice thickness."""
    families = list(dict.fromkeys(score.family for score in scores))
    groups: list[tuple[str, str, Callable[[CaseScore], bool]]] = [("all", "all", lambda _: True)]
    groups += [("family", name, lambda s, name=name: s.family == name) for name in families]  # type: ignore[misc]
    groups += [("size", name, lambda s, name=name: s.size == name) for name in (*SIZES_ML, FREE)]  # type: ignore[misc]
    for name, (low, high) in THICKNESSES_MM.items():
        groups.append(
            ("thickness", name, lambda s, low=low, high=high: low <= s.thickness_mm < high)  # type: ignore[misc]
        )
    chosen = ((kind, name, [s for s in scores if member(s)]) for kind, name, member in groups)
    return tuple(_group(kind, name, members) for kind, name, members in chosen if members)


def _group(kind: str, name: str, members: Sequence[CaseScore]) -> GroupScore:
    with_lesion = [score for score in members if score.counts is not None]
    free = [score for score in members if score.counts is None]
    return GroupScore(
        kind,
        name,
        len(with_lesion),
        _mean(s.lesion_dice for s in with_lesion if s.lesion_dice is not None),
        _mean(s.counts.lf1 for s in with_lesion if s.counts is not None),
        tuple(_mean(values) for values in zip(*(s.tissue_dice for s in members), strict=True)),
        len(free),
        _mean(score.false_ml for score in free),
    )


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return float(np.mean(known)) if known else math.nan


def write_groups(path: Path, groups: Sequence[GroupScore]) -> None:
    """Write means per group as TSV; an empty field is a mean over nothing."""
    rows: list[tuple[str, ...]] = [("group", "name", *COLUMNS)]
    for group in groups:
        numbers = (group.lesion_dice, group.lf1, *group.tissue_dice)
        shown = [_text(number) for number in numbers]
        free = (str(group.free), _text(group.false_ml, 2))
        rows.append((group.kind, group.name, str(group.count), *shown, *free))
    _write(path, rows)


def write_cases(path: Path, scores: Sequence[CaseScore]) -> None:
    """Write one row per case as TSV."""
    rows: list[tuple[str, ...]] = [
        (
            *("case", "family", "stage", "head", "thickness_mm", "stripped", "size"),
            *("true_ml", "predicted_ml", "false_ml", "lesion_dice", "lf1", *TISSUE_NAMES),
        )
    ]
    for score in scores:
        f1 = None if score.counts is None else score.counts.lf1
        rows.append(
            (
                *(str(score.index), score.family, score.stage, score.subject),
                *(_text(score.thickness_mm, 1), "yes" if score.stripped else "no", score.size),
                *(_text(v, 3) for v in (score.true_ml, score.predicted_ml, score.false_ml)),
                *(_text(v) for v in (score.lesion_dice, f1, *score.tissue_dice)),
            )
        )
    _write(path, rows)


def markdown(groups: Sequence[GroupScore]) -> str:
    """Give the groups as a Markdown table, for a model card."""
    head = ("group", "n", "lesion Dice", "LF1", *TISSUE_NAMES, "false ml, no lesion (n)")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for group in groups:
        numbers = [_text(v, 2) or "-" for v in (group.lesion_dice, group.lf1, *group.tissue_dice)]
        false = f"{group.false_ml:.1f} ({group.free})" if group.free else "-"
        lines.append("| " + " | ".join((group.name, str(group.count), *numbers, false)) + " |")
    return "\n".join(lines)


def _text(number: float | None, digits: int = 4) -> str:
    return "" if number is None or math.isnan(number) else f"{number:.{digits}f}"


def _write(path: Path, rows: Sequence[Sequence[str]]) -> None:
    write_atomically(path, ["".join("\t".join(row) + "\n" for row in rows).encode()])
