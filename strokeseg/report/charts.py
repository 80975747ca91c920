"""The two distributions of a cohort as shapes: what is drawn where, in pixels; drawn as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from strokeseg.report.facts import SIDES, CaseFacts

WIDTH, HEIGHT = 560, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 16, 52
_FLOOR = HEIGHT - _BOTTOM
_TICKS = 4

# Half decades; the first bar of the histogram is of cases without lesion.
EDGES_ML = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, math.inf)


@dataclass(frozen=True)
class Label:
    """A piece of text at a place."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Bar:
    """A bar of the histogram; `low` and `high` are the volumes in ml that it counts."""

    x: float
    y: float
    width: float
    height: float
    count: int
    about: str


@dataclass(frozen=True)
class Dot:
    """A case among those of its side."""

    x: float
    y: float
    about: str


@dataclass(frozen=True)
class Line:
    """A straight line."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Chart:
    """What is drawn. Axis titles carry the units."""

    title: str
    x_title: str
    y_title: str
    grid: tuple[Line, ...]
    y_labels: tuple[Label, ...]
    x_labels: tuple[Label, ...]
    bars: tuple[Bar, ...] = ()
    dots: tuple[Dot, ...] = ()
    medians: tuple[Line, ...] = ()
    width: int = WIDTH
    height: int = HEIGHT
    floor: int = _FLOOR
    left: int = _LEFT
    right: int = WIDTH - _RIGHT


def volume_histogram(cases: Sequence[CaseFacts]) -> Chart:
    """Count cases by lesion volume, in half decades."""
    volumes = [case.volume_ml for case in cases if case.volume_ml is not None]
    counts = [sum(volume <= 0 for volume in volumes)]
    counts += [sum(low < volume <= high for volume in volumes) for low, high in pairwise(EDGES_ML)]
    names = ["none", f"≤ {EDGES_ML[1]:g}"]
    names += [f"{low:g}-{high:g}" for low, high in pairwise(EDGES_ML[1:-1])]
    names.append(f"> {EDGES_ML[-2]:g}")
    ticks = _whole_ticks(max(counts, default=0))
    pitch = (WIDTH - _LEFT - _RIGHT) / len(counts)
    bars = []
    for place, (count, name) in enumerate(zip(counts, names, strict=True)):
        y = _height(count / ticks[-1])
        about = f"{count} {'case' if count == 1 else 'cases'}: "
        about += "no lesion" if name == "none" else f"{name} ml"
        bars.append(Bar(_LEFT + pitch * (place + 0.1), y, pitch * 0.8, _FLOOR - y, count, about))
    return Chart(
        title=f"Lesion volume of {len(volumes)} {'case' if len(volumes) == 1 else 'cases'}",
        x_title="lesion volume (ml)",
        y_title="cases",
        grid=tuple(_across(tick / ticks[-1]) for tick in ticks),
        y_labels=tuple(_left_label(tick / ticks[-1], str(tick)) for tick in ticks),
        x_labels=tuple(
            Label(_LEFT + pitch * (place + 0.5), _FLOOR + 16, name)
            for place, name in enumerate(names)
        ),
        bars=tuple(bars),
    )


def volume_by_side(cases: Sequence[CaseFacts]) -> Chart:
    """Place each case with a lesion by its side and, on a logarithmic axis, its volume."""
    placed = [
        (case.side, case.volume_ml, case.name)
        for case in cases
        if case.side and case.volume_ml is not None and case.volume_ml > 0
    ]
    sides = [s for s in SIDES if s in ("left", "right") or any(p[0] == s for p in placed)]
    volumes = [volume for _, volume, _ in placed] or [1.0]
    lowest = math.floor(math.log10(min(volumes)))
    highest = max(math.ceil(math.log10(max(volumes))), lowest + 1)
    decades = range(lowest, highest + 1)

    def share(volume: float) -> float:
        return (math.log10(volume) - lowest) / (highest - lowest)

    pitch = (WIDTH - _LEFT - _RIGHT) / len(sides)
    dots: list[Dot] = []
    medians: list[Line] = []
    labels: list[Label] = []
    for place, side in enumerate(sides):
        middle = _LEFT + pitch * (place + 0.5)
        mine = [(volume, name) for where, volume, name in placed if where == side]
        labels.append(Label(middle, _FLOOR + 16, f"{side} (n = {len(mine)})"))
        room = min(pitch * 0.35, 60.0)
        dots += [
            Dot(middle + room * _jitter(i), _height(share(volume)), f"{name}: {volume:.2f} ml")
            for i, (volume, name) in enumerate(sorted(mine))
        ]
        if len(mine) > 1:
            y = _height(share(median(volume for volume, _ in mine)))
            medians.append(Line(middle - room, y, middle + room, y))
    return Chart(
        title="Lesion volume by side of the brain",
        x_title="side of nine tenths of the lesion; the line is the median",
        y_title="lesion volume (ml)",
        grid=tuple(_across((d - lowest) / (highest - lowest)) for d in decades),
        y_labels=tuple(
            _left_label((d - lowest) / (highest - lowest), f"{10.0**d:g}") for d in decades
        ),
        x_labels=tuple(labels),
        dots=tuple(dots),
        medians=tuple(medians),
    )


def _whole_ticks(largest: int) -> list[int]:
    """Give ticks of whole numbers from 0 to the largest or a little above."""
    step = 1
    while step * _TICKS < largest:
        power = 10 ** (len(str(step)) - 1)
        step = {1: 2, 2: 5, 5: 10}[step // power] * power
    return list(range(0, step * max(1, -(-largest // step)) + 1, step))


def _jitter(index: int) -> float:
    """Give the index-th of numbers that spread evenly over -1 to 1, by the golden ratio."""
    return ((index * 0.6180339887 + 0.5) % 1.0) * 2.0 - 1.0


def _height(share: float) -> float:
    return _FLOOR - share * (_FLOOR - _TOP)


def _across(share: float) -> Line:
    y = _height(share)
    return Line(_LEFT, y, WIDTH - _RIGHT, y)


def _left_label(share: float, text: str) -> Label:
    return Label(_LEFT - 8, _height(share) + 4, text)
