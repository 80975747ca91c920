"""A run's curves as one picture: loss and learning rate, and validation where it was measured."""

import csv
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from strokeseg.arrays import FloatArray
from strokeseg.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOSS_FILE = "loss.tsv"
VALIDATION_FILE = "validation.tsv"
WINDOW_SHARE = 100
Dash = Literal["solid", "dashed", "dotted", "dashdot"]
# Column, name to show, dash.
SCORES: tuple[tuple[str, str, Dash], ...] = (
    ("lesion_dice", "lesion Dice", "solid"),
    ("lf1", "LF1", "dashed"),
    ("GM", "GM", "dotted"),
    ("WM", "WM", "dashdot"),
)


def read_columns(path: Path) -> dict[str, FloatArray]:
    """Read a TSV of numbers, column by column; an empty field is NaN.

    Raises
    ------
    DataError
        The file cannot be read, or holds something else.
    """
    try:
        rows = list(csv.DictReader(path.read_text().splitlines(), delimiter="\t"))
        names = rows[0].keys() if rows else ()
        return {
            name: np.asarray([float(row[name] or "nan") for row in rows], dtype=np.float32)
            for name in names
        }
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise DataError(f"{path}: is no table of numbers ({error})") from error


def running_mean(values: FloatArray, window: int) -> FloatArray:
    """Mean over the last `window` values, fewer at the start."""
    sums = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
    ends = np.arange(1, values.size + 1)
    starts = np.maximum(ends - window, 0)
    return ((sums[ends] - sums[starts]) / (ends - starts)).astype(np.float32)


def draw_curves(runs: Mapping[str, Path], path: Path) -> None:
    """Draw the curves of one run or of several over each other: a colour a run, a dash a score.

    Parameters
    ----------
    runs
        Folders of runs by the name to show.
    path
        The PNG.

    Raises
    ------
    DataError
        A folder has no losses yet.
    """
    # Imported here: it is slow, and only pictures need it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(10, 4), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    loss_axes, score_axes = figure.subplots(1, 2)
    for index, (name, folder) in enumerate(runs.items()):
        colour = f"C{index}"
        losses = read_columns(folder / LOSS_FILE)
        if not losses:
            raise DataError(f"{folder / LOSS_FILE}: holds no losses yet")
        window = max(1, losses["step"].size // WINDOW_SHARE)
        smooth = running_mean(losses["loss"], window)
        loss_axes.plot(losses["step"], smooth, label=name, color=colour)
        if (folder / VALIDATION_FILE).is_file():
            _plot_scores(score_axes, read_columns(folder / VALIDATION_FILE), colour)
    loss_axes.set(xlabel="step", ylabel="training loss, running mean")
    score_axes.set(xlabel="step", ylabel="validation score", ylim=(0, 1))
    for axes in (loss_axes, score_axes):
        axes.grid(visible=True, alpha=0.3)
    loss_axes.legend(fontsize="small")
    dashes = [Line2D([], [], color="black", linestyle=dash) for _, _, dash in SCORES]
    score_axes.legend(dashes, [label for _, label, _ in SCORES], fontsize="small", ncols=2)
    canvas.print_png(str(path))  # type: ignore[no-untyped-call]


def draw_stage_curves(first: Path, second: Path, path: Path) -> None:
    """Draw the losses of both stages of a model.

    Parameters
    ----------
    first, second
        Their `loss.tsv`: of `strokeseg train`, and of `strokeseg train-stage-two`, beside whose
        loss of the parts stands what it would be of the first stage's own answer.
    path
        The PNG, of few colours.

    Raises
    ------
    DataError
        A file holds no losses.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(9, 3.2), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    curves = (("first stage", first, ("loss",)), ("second stage", second, ("parts", "first")))
    for axes, (title, source, names) in zip(figure.subplots(1, 2), curves, strict=True):
        losses = read_columns(source)
        if not losses:
            raise DataError(f"{source}: holds no losses yet")
        window = max(1, losses["step"].size // (WINDOW_SHARE // 4))
        for name in [name for name in names if name in losses]:
            label = {"first": "of the first stage's answer"}.get(name, "loss")
            axes.plot(losses["step"], running_mean(losses[name], window), label=label)
        axes.set(title=title, xlabel="step", ylabel="training loss, running mean")
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize="small")
    drawn = BytesIO()
    canvas.print_png(drawn)  # type: ignore[no-untyped-call]
    with Image.open(drawn) as picture:
        picture.convert("RGB").quantize(32).save(path, optimize=True)


def _plot_scores(axes: "Axes", columns: Mapping[str, FloatArray], colour: str) -> None:
    for column, _, dash in SCORES:
        if column in columns:
            axes.plot(columns["step"], columns[column], color=colour, linestyle=dash)
