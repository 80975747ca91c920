"""The passes of the network: scans are read, prepared, seen, and let go of as early as can be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from strokeseg.arrays import FloatArray
from strokeseg.engines.flips import FLIPS
from strokeseg.engines.scan import scan_logits
from strokeseg.engines.windows import WindowPlan, plan_windows
from strokeseg.images.foreground import within_limits
from strokeseg.images.intensity import as_seen, normalise, padding_value
from strokeseg.images.reading import Source, Volume, read
from strokeseg.images.suitability import suited
from strokeseg.models.loading import LoadedModel
from strokeseg.prediction.ensemble import Member
from strokeseg.prediction.leaving_out import LeftOut
from strokeseg.prediction.memory_plan import MemoryPlan
from strokeseg.prediction.options import Options
from strokeseg.prediction.progress import Clock
from strokeseg.space.grid import Grid, working_grid
from strokeseg.space.resample import resample_image


@dataclass(frozen=True, eq=False)
class Seen:
    """What is kept of a scan once the network has seen it: all but its voxels."""

    grid: Grid
    path: Path | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Run:
    """What every step of one prediction needs to know."""

    models: Sequence[LoadedModel]
    options: Options
    memory: MemoryPlan
    clock: Clock


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scan as a network sees it."""

    image: FloatArray
    plan: WindowPlan
    working: Grid
    native: Grid


@dataclass(frozen=True, eq=False)
class Scans:
    """The scans of a case: the reference whole, of the others what a network sees.

    `prepared` is by number of the model and name of the scan, in the order of the passes.
    """

    reference_name: str
    reference: Volume
    left_out: LeftOut
    seen: Mapping[str, Seen]
    prepared: dict[tuple[int, str], Prepared]


def read_scans(
    images: Mapping[str, Source], order: Sequence[str], left_out: LeftOut, run: Run
) -> Scans:
    """Read one scan after the other and bring it to the working grids; keep only the reference."""
    reference = left_out.reference
    kept: Volume | None = None
    seen: dict[str, Seen] = {}
    prepared = {}
    for name in (reference, *(name for name in order if name != reference)):
        with run.clock.stage("read"):
            volume = left_out.attempt(name, partial(_read, name, images[name]))
        if volume is None:
            continue
        seen[name] = Seen(volume.grid, volume.path, volume.warnings)
        kept = kept or volume
        with run.clock.stage("prepare"):
            for number in range(len(run.models)):
                prepared[number, name] = _prepare(name, volume, number, run)
        del volume
    if kept is None:
        raise ValueError("no scan was given")
    used = [name for name in order if name in seen]
    passes = {(n, name): prepared[n, name] for n in range(len(run.models)) for name in used}
    return Scans(reference, kept, left_out, {name: seen[name] for name in used}, passes)


def _read(name: str, source: Source) -> Volume:
    """Read a scan, and check that it is what it is said to be."""
    return suited(name, read(source))


def _prepare(name: str, volume: Volume, number: int, run: Run) -> Prepared:
    """Bring one scan to a model's working grid, and lay windows over it."""
    config = run.models[number].model.config
    working = working_grid(volume.grid, config.voxel_size_mm)
    data = as_seen(name, volume.data)
    if config.normalisation == "foreground":
        # Before interpolation makes many voxels of a broken one.
        data = within_limits(data)
    image = normalise(resample_image(data, volume.grid, working), config.normalisation)
    plan = plan_windows(
        image.shape,
        run.memory.settings.windows[number],
        run.options.overlap,
        config.spec.stride_product,
    )
    plan = replace(plan, padding=padding_value(image, config.normalisation))
    return Prepared(image, plan, working, volume.grid)


def see_scans(scans: Scans, run: Run) -> list[Member]:
    """Run every network on every scan; what a network sees is let go of as it has been seen."""
    flips = FLIPS if run.options.tta else FLIPS[:1]
    settings, progress = run.memory.settings, run.clock.progress
    members = []
    for number, loaded in enumerate(run.models):
        for name in scans.seen:
            scan = scans.prepared.pop((number, name))
            with run.clock.stage(f"segment {name}", len(flips) * len(scan.plan.starts)):
                logits = scan_logits(
                    loaded.engine,
                    scan.image,
                    scan.plan,
                    flips,
                    progress.on_window,
                    settings.kept_bytes,
                )
            members.append(Member(logits, scan.working, scan.native))
        if settings.releases:
            loaded.engine.release()
    return members
