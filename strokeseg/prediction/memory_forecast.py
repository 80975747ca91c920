"""How much memory a prediction will take, before it starts.

Nothing is measured here: the sizes follow from the scans' headers, the models and the options, by
adding up the arrays that each stage holds at once (see `stages`). On the reference's grid these are
float32 for the scan, the probability and each map of uncertainty, and a byte for tissues, mask and
brain; on a working grid the logits of every class and, for each flip, the lesion's log-odds.

What is unknown before is taken at its most, but for one thing: no lesion has more than a fortieth
of the voxels.
"""

import math
from dataclasses import dataclass

from strokeseg.engines.footprint import footprint, window_bytes
from strokeseg.engines.stitching import KEPT_BYTES, keeps_windows
from strokeseg.engines.stitching import SLAB_BYTES as STITCHED_BYTES
from strokeseg.engines.windows import plan_for
from strokeseg.measure.components import HELD_VOXELS
from strokeseg.models.config import ModelConfig
from strokeseg.models.second_stage import SecondStage
from strokeseg.network.state import Spec
from strokeseg.prediction.ensemble import SLAB_BYTES, slab_planes
from strokeseg.prediction.second_memory import second_look_bytes
from strokeseg.space.grid import Grid, working_grid

# Python and the libraries of a command; what allocators keep for themselves.
PROCESS_BYTES = 130 << 20
SLACK_BYTES = 40 << 20
# What the stage is called in which a model of its own finds the brain.
FIND_BRAIN = "find the brain"
_PIECES_BYTES = 96 << 20


@dataclass(frozen=True, eq=False)
class ScanSize:
    """A scan, and the bytes of a voxel as it is stored; 0 for one that is in memory as float32."""

    grid: Grid
    stored_bytes: int
    name: str = "scan"

    @property
    def voxels(self) -> int:
        """Voxels on its own grid."""
        return math.prod(self.grid.shape)


@dataclass(frozen=True)
class ModelSize:
    """A model, and what runs it; `second` where its second stage is used."""

    config: ModelConfig
    engine: str
    precision: str
    second: SecondStage | None = None


@dataclass(frozen=True, eq=False)
class Demand:
    """All that decides how much memory a prediction takes, apart from `Settings`.

    Parameters
    ----------
    scans
        The reference first.
    models
        Which of them see every scan.
    flips
        Passes over each scan.
    overlap
        Of the windows.
    window
        Edge that was asked for; the models' own if None.
    uncertainty, argmax
        Whether the maps of uncertainty, and the most probable class, are wanted.
    looks, voices
        Whether the brain is looked for first, and lesions of several scans are fused by a rule
        other than the mean of logits.
    brain, brain_flips
        A model that finds the brain in the reference, before the others see anything, and its
        passes.
    """

    scans: tuple[ScanSize, ...]
    models: tuple[ModelSize, ...]
    flips: int
    overlap: float
    window: int | None
    uncertainty: bool
    argmax: bool
    looks: bool = False
    voices: bool = False
    brain: ModelSize | None = None
    brain_flips: int = 1


@dataclass(frozen=True)
class Settings:
    """What can be chosen about memory. The windows alone change numbers.

    Parameters
    ----------
    windows
        Edge of the window of each model, in voxels of its working grid.
    threads
        For the work around the network.
    slab_bytes
        Logits on the reference's grid that each thread has at once.
    kept_bytes
        Up to how much the logits of all windows are kept.
    releases
        Whether engines give their memory back once they have seen every scan.
    """

    windows: tuple[int, ...]
    threads: int
    slab_bytes: int = SLAB_BYTES
    kept_bytes: int = KEPT_BYTES
    releases: bool = False


def stages(demand: Demand, settings: Settings, held_bytes: int = 0) -> dict[str, int]:
    """Predict the most memory that the process holds in each stage, in bytes.

    Parameters
    ----------
    demand, settings
        What is to be done, and how.
    held_bytes
        What the process holds with the models' engines open, where that is known to be more than
        the model of it says.
    """
    opened, opening = PROCESS_BYTES, PROCESS_BYTES
    all_models = (*demand.models, *((demand.brain,) if demand.brain else ()))
    for engine, spec in [pair for model in all_models for pair in _networks(model)]:
        taken = footprint(engine, spec)
        opening = max(opening, opened + taken.library + taken.opening)
        opened += taken.opened
    opened += max(footprint(m.engine, m.config.spec).library for m in all_models)
    held = max(opened, held_bytes) + SLACK_BYTES
    reading, preparing, prepared = _before(demand)
    passes, engines, members, odds = _network(demand, settings)
    scan = _scan_bytes(demand.scans[0])
    voxels = demand.scans[0].voxels
    working = max(_working_voxels(demand, 0, m) for m in range(len(demand.models)))
    flips = (demand.flips + 4 * demand.uncertainty) * working
    # Log-odds and reach of each scan, and both once more, one beside the other.
    voices = 24 * len(demand.scans) * working if demand.voices else 0
    maps = voxels * (5 + demand.argmax + 4 * demand.uncertainty)
    rest = held + scan + (0 if settings.releases else engines)
    # Lesions found, brain, and labels of pieces or what is kept; the mask, one lesion in its box,
    # and where its voxels lie.
    components = 3 * voxels + 12 * HELD_VOXELS
    return {
        "load model": opening + SLACK_BYTES,
        "read": held + reading,
        "prepare": held + preparing,
        FIND_BRAIN: held + scan + prepared + _brain_bytes(demand),
        "segment": held + scan + prepared + passes,
        "compare flips": rest
        + members
        + odds
        + flips
        + voices
        + (16 + 8 * demand.uncertainty) * working,
        "classify": rest + members + flips + maps + _slabs(demand, settings),
        "decide": rest + flips + maps + components,
        "measure flips": rest + flips + maps + 2 * voxels + 12 * working,
        "measure": rest + flips + maps + components,
        "map uncertainty": rest + flips + maps + demand.uncertainty * (5 * voxels + _PIECES_BYTES),
    }


def _networks(model: ModelSize) -> list[tuple[str, Spec]]:
    """Give the engine and the network of each stage of a model."""
    second = [] if model.second is None else [(model.engine, model.second.spec)]
    return [(model.engine, model.config.spec), *second]


def _before(demand: Demand) -> tuple[int, int, int]:
    """Predict reading and preparing the scans one by one, and what the prepared images take."""
    held = reading = preparing = prepared = 0
    for index, scan in enumerate(demand.scans):
        own = _scan_bytes(scan)
        if own:
            # A copy as it is stored, with room to grow; later a second copy without NaN.
            reading = max(
                reading, held + own + max(-(-3 * scan.stored_bytes // 2), 5) * scan.voxels
            )
        for model in range(len(demand.models)):
            working = _working_voxels(demand, index, model)
            clipped = 4 * scan.voxels
            fine = _fine_voxels(demand, index, model)
            taken = held + own + clipped + 20 * working + 8 * fine + _PIECES_BYTES
            preparing = max(preparing, taken)
            held += 4 * (working + fine)
            prepared += 4 * (working + fine)
        if index == 0:
            held += own
    return reading, preparing, prepared


def _network(demand: Demand, settings: Settings) -> tuple[int, int, int, int]:
    """Predict the passes of the network.

    Returns
    -------
    most, engines, members, odds : int
        At most during the passes, of engines that keep what they took, of the members' mean logits,
        and of the flips' log-odds.
    """
    most = engines = members = odds = 0
    for number, model in enumerate(demand.models):
        spec, classes = model.config.spec, model.config.spec.out_channels
        edge = settings.windows[number]
        kept_by_engine = 0
        for index in range(len(demand.scans)):
            voxels = _working_voxels(demand, index, number)
            grid = working_grid(demand.scans[index].grid, model.config.voxel_size_mm)
            plan = plan_for(spec, grid.shape, edge, demand.overlap, model.config.least_size)
            kept_by_engine = window_bytes(model.engine, model.precision, spec, plan.window)
            passes = demand.flips if model.config.flips else 1
            mean, flips = 4 * classes * voxels, 5 * passes * voxels
            window = math.prod(plan.window)
            # A look at a scan: its classes, twice, and the pieces that hang together.
            looking = 16 * voxels * demand.looks
            room = 4 * math.prod(plan.padded_shape) + 8 * window + 4 * voxels + looking
            if model.engine == "torch":
                room += 4 * voxels * (3 * classes + 4) + 4 * classes * window
            elif keeps_windows(plan, classes, settings.kept_bytes):
                room += 4 * classes * window * len(plan.starts)
            else:
                room += 4 * classes * (window + voxels)
            slab = max(STITCHED_BYTES, 4 * classes * math.prod(grid.shape[1:]))
            room += 4 * settings.threads * slab
            most = max(most, members + odds + mean + flips + room + kept_by_engine + engines)
            members, odds = members + mean, odds + flips
            if model.second is not None:
                fine = _fine_voxels(demand, index, number)
                room, kept = second_look_bytes(model.second, classes, fine, settings.kept_bytes)
                side = model.second.crop
                again, crop = model.second.spec, (side, side, side)
                kept_by_engine += window_bytes(model.engine, model.precision, again, crop)
                # The flips of a scan are moved, one copy beside the other.
                most = max(most, members + odds + flips + room + kept_by_engine + engines)
                members += kept
        engines += 0 if settings.releases else kept_by_engine
    return most, engines, members, odds


def _fine_voxels(demand: Demand, scan: int, model: int) -> int:
    second = demand.models[model].second
    if second is None:
        return 0
    return math.prod(working_grid(demand.scans[scan].grid, second.voxel_size_mm).shape)


def _brain_bytes(demand: Demand) -> int:
    """Predict what it takes to find the brain by a model of its own, in one window."""
    model, scan = demand.brain, demand.scans[0]
    if model is None:
        return 0
    spec, config = model.config.spec, model.config
    shape = working_grid(scan.grid, config.voxel_size_mm).shape
    plan = plan_for(spec, shape, config.window, demand.overlap, config.least_size)
    window, voxels = math.prod(plan.window), math.prod(shape)
    engine = window_bytes(model.engine, model.precision, spec, plan.window)
    # The image on its grid, normalised and padded; logits of a window, of all, and of the flips.
    logits = 4 * spec.out_channels * (window + 2 * voxels) + (4 + 5 * demand.brain_flips) * voxels
    # Afterwards on the scan's own grid: log-odds, and a mask in its pieces.
    return max(engine + 12 * voxels + 8 * window + logits, 18 * scan.voxels + 4 * voxels)


def _slabs(demand: Demand, settings: Settings) -> int:
    """Predict what all threads have in hand while they classify."""
    shape, classes = (
        demand.scans[0].grid.shape,
        max(model.config.spec.out_channels for model in demand.models),
    )
    planes = slab_planes(shape, classes, settings.slab_bytes)
    channel = 4 * planes * math.prod(shape[1:])
    several = 4 * classes if len(demand.scans) * len(demand.models) > 1 else 0
    several += 8 * len(demand.scans) if demand.voices else 0
    return settings.threads * channel * (classes + 2 * min(classes, 4) + 8 + several)


def _working_voxels(demand: Demand, scan: int, model: int) -> int:
    size_mm = demand.models[model].config.voxel_size_mm
    return math.prod(working_grid(demand.scans[scan].grid, size_mm).shape)


def _scan_bytes(scan: ScanSize) -> int:
    return 4 * scan.voxels if scan.stored_bytes else 0
