"""Two models in one picture: box and points per metric, stars above."""

import io
from typing import TYPE_CHECKING

import numpy as np

from strokeseg.evaluation.comparison import STARS_MEAN, Difference, ModelComparison, finite_pairs
from strokeseg.evaluation.metrics.case_metrics import METRIC_OF, Metric
from strokeseg.evaluation.statistics import Values

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The paper's five above; below what it does not show.
PANELS = (
    *("dice", "hd95_mm", "avd_ml", "ald", "lf1"),
    *("lf1_iou25", "assd_mm", "sensitivity", "precision", "pr_auc"),
)
COLUMNS = 5
# Blue and vermilion of Okabe and Ito: apart for every colour vision, and in grey.
COLOURS = ("#0072B2", "#D55E00")
INK = "#262626"
QUIET = "#8a8a8a"

_LONGEST_NAME = 12
_WIDEST_NAME = 60
_POINT_SPREAD = 0.16
_SEED = 7
_TICKS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def draw_comparison(comparison: ModelComparison) -> bytes:
    """Draw the metrics of two models, case by case.

    Boxes show median and quartiles, whiskers the last case within 1.5 times their distance, a
    diamond the mean; each point is a case, and a thin line joins its two. Only pairs of finite
    values are drawn: those that are tested.

    Returns
    -------
    bytes
        A PNG file, the same for the same input.
    """
    # Imported here: it is slow, and only pictures need it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    figure = Figure(figsize=(13.5, 8.2), dpi=130, layout=layout, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    drawn = [name for name in PANELS if comparison.overall()[name].n_pairs]
    grid = figure.subplots(2, COLUMNS, squeeze=False).ravel()
    for axes, name in zip(grid, drawn, strict=False):
        _draw_panel(axes, METRIC_OF[name], comparison)
    for axes in grid[len(drawn) :]:
        axes.set_axis_off()
    _write_around(figure, comparison)
    stream = io.BytesIO()
    canvas.print_figure(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _draw_panel(axes: "Axes", metric: Metric, comparison: ModelComparison) -> None:
    first, second = finite_pairs(metric.name, comparison.pairs)
    row = comparison.overall()[metric.name]
    spread = _spread(first.size)
    axes.plot(
        np.stack([0 + spread, 1 + spread]),
        np.stack([first, second]),
        color=QUIET,
        alpha=_faint(first.size) / 3,
        linewidth=0.6,
        zorder=1,
    )
    for place, (values, colour) in enumerate(zip((first, second), COLOURS, strict=True)):
        _draw_model(axes, place, values, colour)
        faint = _faint(first.size)
        axes.scatter(place + spread, values, s=13, color=colour, alpha=faint, linewidth=0, zorder=2)
    _scale(axes, metric, float(max(first.max(), second.max())))
    _draw_stars(axes, row)
    left_out = f", {row.n_left_out} left out" if row.n_left_out else ""
    axes.set_xticks((0, 1), _short(comparison.names))
    axes.set_xlim(-0.55, 1.55)
    axes.set_xlabel(f"n = {row.n_pairs}{left_out}", fontsize=9, color=QUIET)
    arrow = "\N{UPWARDS ARROW}" if metric.better == "higher" else "\N{DOWNWARDS ARROW}"
    title = metric.title.replace(">=", "\N{GREATER-THAN OR EQUAL TO}")
    axes.set_title(f"{title} {arrow}", fontsize=12, color=INK, pad=8)
    axes.set_ylabel(metric.unit, color=INK)


def _draw_model(axes: "Axes", place: int, values: Values, colour: str) -> None:
    line = {"color": colour, "linewidth": 1.4}
    axes.boxplot(
        values,
        positions=[place],
        widths=0.55,
        showfliers=False,
        showmeans=True,
        patch_artist=True,
        boxprops={"facecolor": colour + "26", "edgecolor": colour, "linewidth": 1.4},
        medianprops={"color": colour, "linewidth": 2.4},
        whiskerprops=line,
        capprops=line,
        meanprops={
            "marker": "D",
            "markersize": 6,
            "markerfacecolor": "white",
            "markeredgecolor": INK,
            "markeredgewidth": 1.1,
        },
        zorder=3,
    )


def _scale(axes: "Axes", metric: Metric, largest: float) -> None:
    """Leave room above for the stars; what has no upper end is drawn on a scale like log1p."""
    if not metric.unit:
        axes.set_ylim(-0.04, 1.2)
        axes.set_yticks(np.linspace(0, 1, 6))
    else:
        axes.set_yscale("symlog", linthresh=1.0, linscale=0.6)
        transform = axes.yaxis.get_transform()
        top = float(transform.transform(max(largest, 1.0)))
        low, high = transform.inverted().transform([-0.04 * top, 1.2 * top])
        axes.set_ylim(low, high)
        ticks = [tick for tick in _TICKS if tick <= max(largest, 1.0)]
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
        axes.set_yticks([], minor=True)
    axes.grid(visible=True, axis="y", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_stars(axes: "Axes", row: Difference) -> None:
    """Draw a bracket over both boxes, with stars, or ns."""
    across = axes.get_xaxis_transform()
    axes.plot(
        (0, 0, 1, 1), (0.9, 0.92, 0.92, 0.9), color=INK, linewidth=1, transform=across, zorder=4
    )
    axes.text(
        0.5,
        0.925,
        row.stars or "ns",
        transform=across,
        ha="center",
        va="bottom",
        fontsize=13 if row.stars else 9,
        color=INK,
    )


def _write_around(figure: "Figure", comparison: ModelComparison) -> None:
    """Write which models these are, and what the marks mean."""
    from matplotlib.patches import Patch

    labels = [
        name if short == name else f"{short}: {_cut(name)}"
        for name, short in zip(comparison.names, _short(comparison.names), strict=True)
    ]
    handles = [
        Patch(facecolor=colour + "26", edgecolor=colour, linewidth=1.4, label=label)
        for label, colour in zip(labels, COLOURS, strict=True)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False, fontsize=12)
    text = (
        "Box: median and quartiles. Whiskers: last case within 1.5 interquartile ranges. Diamond: "
        "mean. Point: a case, with a line to the same case in the other model.\n"
        f"Wilcoxon signed-rank test: {STARS_MEAN}, ns otherwise. Arrow: which way is better. "
        "Scales of mm, ml and lesions are linear up to 1, then logarithmic."
    )
    figure.supxlabel(text, fontsize=9, color=QUIET)


def _short(names: tuple[str, str]) -> tuple[str, str]:
    """Give both names if they fit below a box, else A and B."""
    return names if max(map(len, names)) <= _LONGEST_NAME else ("A", "B")


def _cut(name: str) -> str:
    """Keep the end of a name that is too long for the page, where paths differ most."""
    return name if len(name) <= _WIDEST_NAME else f"... {name[-_WIDEST_NAME:]}"


def _spread(count: int) -> Values:
    """Move points sideways, evenly and the same way each time, so that they do not cover."""
    places = np.linspace(-_POINT_SPREAD, _POINT_SPREAD, count) if count > 1 else np.zeros(count)
    return np.random.default_rng(_SEED).permutation(places)


def _faint(count: int) -> float:
    """How opaque points are: the more, the fainter."""
    return float(np.clip(12 / max(count, 1) ** 0.6, 0.15, 0.75))
