"""Which windows a network is asked about: all of a scan, or less where memory is short."""

from collections.abc import Iterator

from strokeseg.models.config import ModelConfig
from strokeseg.prediction.memory_forecast import Demand
from strokeseg.space.grid import working_grid

# A network is not asked about less than this part of its window: on real scans, two thirds change
# what it finds (tests/benchmarks/MEMORY.md), and below them hardly any memory is left to be won.
LEAST_SHARE = 2 / 3
# By how many voxels windows that change nothing are made smaller, and what the smallest has to say.
EXACT_STEP = 16


def usual_window(demand: Demand, number: int) -> int:
    """Give the edge of a model's window: all of every scan where that is the rule."""
    config = demand.models[number].config
    edge = demand.window or config.window
    if config.spec.window_rule == "blended":
        return edge
    shapes = [working_grid(scan.grid, config.voxel_size_mm).shape for scan in demand.scans]
    return min(edge, max(*config.least_size, *(size for shape in shapes for size in shape)))


def smaller_windows(demand: Demand, whole: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Give windows, the largest first: in steps of the strides, none below its model's least."""
    configs = [model.config for model in demand.models]
    steps = [
        EXACT_STEP if config.spec.window_rule == "exact" else max(config.spec.stride_product)
        for config in configs
    ]
    least = [
        _least_window(config, edge, step)
        for config, edge, step in zip(configs, whole, steps, strict=True)
    ]
    yield whole
    last = whole
    for cap in range(max(whole) - 1, 0, -1):
        windows = tuple(
            edge if edge <= cap else max(low, cap // step * step)
            for edge, low, step in zip(whole, least, steps, strict=True)
        )
        if windows != last:
            yield windows
        last = windows


def _least_window(config: ModelConfig, edge: int, step: int) -> int:
    """Give the smallest window that a network is asked about: none at all where it needs all."""
    spec = config.spec
    if spec.window_rule == "whole":
        return edge
    if spec.window_rule == "exact":
        return min(edge, 2 * spec.reach_vox + EXACT_STEP)
    return min(edge, max(2 * step, -(-int(LEAST_SHARE * config.window) // step) * step))
