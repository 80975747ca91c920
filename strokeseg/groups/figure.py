"""One page of pictures: each measure by group or number, and the lesion-symptom map below."""

import io
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from strokeseg.evaluation.figure import COLOURS, INK, QUIET
from strokeseg.groups.comparing import GroupComparison, Tested
from strokeseg.groups.ranks import cliffs_delta
from strokeseg.groups.symptom_map import SymptomMap
from strokeseg.groups.tables import INTERVALS, p_text
from strokeseg.space.grid import Grid
from strokeseg.space.mni import mean_head
from strokeseg.space.resample import resample_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

COLUMNS = 4
SLICES = 8
# Okabe and Ito's, the two of every comparison first.
_COLOURS = (*COLOURS, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_SEED = 7
_SPREAD = 0.14
_PANEL_IN = 3.2
_MAP_IN = 3.0
_LONGEST_NAME = 14


def draw_groups(comparison: GroupComparison, symptom_map: SymptomMap | None) -> bytes:
    """Draw a panel per measure, and slices of the map where there is one.

    Boxes show median and quartiles, points are cases; a column of numbers gives a scatter with a
    straight fit (Theil and Sen's).

    Returns
    -------
    bytes
        A PNG file, the same for the same input.
    """
    # Imported here: it is slow, and only pictures need it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = -(-len(comparison.tested) // COLUMNS)
    heights = [_PANEL_IN * rows + 1.0, *([_MAP_IN] if symptom_map is not None else [])]
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    figure = Figure(figsize=(13.0, sum(heights)), dpi=130, layout=layout, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).ravel()
    grid = parts[0].subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes, one in zip(grid, comparison.tested, strict=False):
        _draw_panel(axes, one, comparison)
    for axes in grid[len(comparison.tested) :]:
        axes.set_axis_off()
    _write_around(parts[0], comparison)
    if symptom_map is not None:
        _draw_map(parts[1], symptom_map)
    stream = io.BytesIO()
    canvas.print_figure(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _draw_panel(axes: "Axes", one: Tested, comparison: GroupComparison) -> None:
    groups = comparison.cases.groups
    if groups:
        _draw_boxes(axes, one, groups)
        effect = f"delta = {cliffs_delta(one.area.value):.2f}, " if len(groups) == 2 else ""
    else:
        _draw_scatter(axes, one, comparison.column)
        effect = f"rho = {one.rho.value:.2f}, "
    p = p_text(one.p_holm)
    p = f"p {p}" if p.startswith("<") else f"p = {p}"
    axes.set_title(f"{one.measure}\n{effect}{p}", fontsize=10.5, color=INK)
    axes.set_ylabel(one.unit, color=INK)
    axes.grid(visible=True, axis="y", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_boxes(axes: "Axes", one: Tested, groups: tuple[str, ...]) -> None:
    rng = np.random.default_rng(_SEED)
    for place in range(len(groups)):
        colour = _COLOURS[place % len(_COLOURS)]
        values = one.values[one.outcome == place]
        line = {"color": colour, "linewidth": 1.4}
        axes.boxplot(
            values,
            positions=[place],
            widths=0.55,
            showfliers=False,
            patch_artist=True,
            boxprops={"facecolor": colour + "26", "edgecolor": colour, "linewidth": 1.4},
            medianprops={"color": colour, "linewidth": 2.4},
            whiskerprops=line,
            capprops=line,
        )
        aside = place + rng.permutation(np.linspace(-_SPREAD, _SPREAD, len(values)))
        axes.scatter(aside, values, s=15, color=colour, alpha=0.6, linewidth=0, zorder=3)
    names = [
        f"{_short(group)}\nn = {count}" for group, count in zip(groups, one.counts, strict=True)
    ]
    axes.set_xticks(range(len(groups)), names)
    axes.set_xlim(-0.6, len(groups) - 0.4)


def _draw_scatter(axes: "Axes", one: Tested, column: str) -> None:
    axes.scatter(one.outcome, one.values, s=17, color=COLOURS[0], alpha=0.65, linewidth=0)
    fit = stats.theilslopes(one.values, one.outcome)
    ends = np.array([one.outcome.min(), one.outcome.max()])
    axes.plot(ends, fit.intercept + fit.slope * ends, color=COLOURS[1], linewidth=1.8)
    axes.set_xlabel(f"{column} (n = {len(one.values)})", color=INK)


def _write_around(part: "SubFigure", comparison: GroupComparison) -> None:
    held = f", {', '.join(comparison.covariates)} regressed out" if comparison.covariates else ""
    part.suptitle(f"By {comparison.column}, {len(comparison.cases.names)} cases", color=INK)
    groups = bool(comparison.cases.groups)
    drawn = "Box: median and quartiles; point: a case." if groups else "Line: Theil and Sen's fit."
    part.supxlabel(
        f"{drawn} {comparison.test}{held}; p by Holm over {len(comparison.tested)} measures. "
        f"Values as they were measured; {INTERVALS} are in the table.",
        fontsize=9,
        color=QUIET,
    )


def _draw_map(part: "SubFigure", found: SymptomMap) -> None:
    """Draw axial slices from where voxels were tested to where they end, and one at the peak."""
    head, where = mean_head()
    grey = resample_image(head, where, found.grid)
    deepest = np.flatnonzero((found.t != 0).any(axis=(0, 1)))
    shown = np.unique(np.linspace(deepest[0], deepest[-1], SLICES).round().astype(int))
    peak = found.peaks[0].place_mm
    at_peak = round(float((peak[2] - found.grid.affine[2, 3]) / found.grid.affine[2, 2]))
    shown = np.unique([at_peak, *shown[np.argsort(np.abs(shown - at_peak))[1:]]])
    limit = max(float(np.abs(found.t).max()), found.threshold)
    grid = part.subplots(1, len(shown), squeeze=False).ravel()
    image = None
    for axes, k in zip(grid, shown, strict=True):
        axes.imshow(grey[:, :, k].T, cmap="gray", origin="lower", vmin=0, vmax=1.3)
        values = np.ma.masked_equal(found.t[:, :, k].T, 0)
        image = axes.imshow(values, cmap="coolwarm", origin="lower", vmin=-limit, vmax=limit)
        beyond = (np.abs(found.t[:, :, k]) > found.threshold).T
        if beyond.any():
            axes.contour(beyond, levels=[0.5], colors="black", linewidths=1.0)
        axes.set_title(f"z = {_height(found.grid, int(k)):.0f} mm", fontsize=9, color=INK)
        axes.invert_xaxis()  # as every picture of ours
        axes.set_axis_off()
    if image is not None:
        part.colorbar(image, ax=list(grid), label="t", shrink=0.7)
    part.supxlabel(
        f"Damage of {found.voxels} voxels in {found.cases} cases, MNI152, right half on the left; "
        f"black line: |t| > {found.threshold:.2f}, family-wise p < 0.05. "
        "Red: damage with the second group, or with larger numbers.",
        fontsize=9,
        color=QUIET,
    )


def _height(grid: Grid, k: int) -> float:
    return float(grid.affine[2, 3] + grid.affine[2, 2] * k)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."
