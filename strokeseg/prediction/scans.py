"""The passes of the network: scans are read, prepared, seen, and let go of as early as can be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from strokeseg.arrays import FloatArray
from strokeseg.engines.flips import FLIPS
from strokeseg.engines.scan import scan_logits
from strokeseg.engines.windows import WindowPlan
from strokeseg.errors import DataError
from strokeseg.images.foreground import within_limits
from strokeseg.images.intensity import as_seen
from strokeseg.images.reading import Source, Volume, read_scan
from strokeseg.images.suitability import suited
from strokeseg.measure.brain_box import grid_of
from strokeseg.models.config import FieldOfView
from strokeseg.models.loading import Ensemble, LoadedModel
from strokeseg.models.second_stage import SecondStage
from strokeseg.prediction.brain_extraction import FoundBrain, extract_brain
from strokeseg.prediction.ensemble import Member
from strokeseg.prediction.field_of_view import Sight, find_brain
from strokeseg.prediction.leaving_out import LeftOut
from strokeseg.prediction.memory_plan import MemoryPlan
from strokeseg.prediction.options import Options
from strokeseg.prediction.preparation import lay_windows, prepared_image
from strokeseg.prediction.progress import Clock
from strokeseg.prediction.second_stage import Again, Fine, look_again, plan_again
from strokeseg.prediction.sequences import Sights, choose_scans
from strokeseg.space.grid import Grid, working_grid
from strokeseg.space.pictures import Picture, picture_of
from strokeseg.space.resample import resample_image


@dataclass(frozen=True, eq=False)
class ScanFacts:
    """What is kept of a scan once the network has seen it: all but its voxels."""

    grid: Grid
    path: Path | None
    warnings: tuple[str, ...]
    scanner: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Run:
    """What every step of one prediction needs to know."""

    ensemble: Ensemble
    options: Options
    memory: MemoryPlan
    clock: Clock

    @property
    def models(self) -> Sequence[LoadedModel]:
        """Those that find lesions, by number."""
        return self.ensemble.members

    def second_of(self, number: int) -> SecondStage | None:
        """Give the second stage of a model, where it has one and it is wanted."""
        loaded = self.models[number]
        wanted = loaded.second is not None and self.options.stages > 1
        return loaded.model.config.second if wanted else None


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scan on a network's working grid, and where it came from; `fine` for a second stage."""

    image: FloatArray
    working: Grid
    native: Grid
    fine: Fine | None = None


@dataclass(frozen=True, eq=False)
class Passed:
    """What the networks said of the scans, and what they saw of each, by number and name."""

    members: list[Member]
    sights: Mapping[tuple[int, str], Sight]
    looks: Mapping[tuple[int, str], Again] = field(default_factory=dict)

    def frame(self, name: str) -> Grid | None:
        """Give what the first network that saw a scan saw of it, where that is not all of it."""
        seen = (sight for (_, scan), sight in self.sights.items() if scan == name)
        sight = next(seen, None)
        return sight.kept if sight is not None and sight.is_cut else None

    def looks_as_record(self) -> tuple[dict[str, Any], ...] | None:
        """Give where second stages looked as plain values; None where there is none."""
        told = tuple(
            {"modality": name, "model": number} | look.as_record()
            for (number, name), look in self.looks.items()
        )
        return told or None

    def as_record(self) -> tuple[dict[str, Any], ...]:
        """Give what was seen as plain values."""
        return tuple(
            {"modality": name, "model": number} | sight.as_record()
            for (number, name), sight in self.sights.items()
        )


@dataclass(frozen=True, eq=False)
class Scans:
    """The scans of a case: the reference whole, of the others what a network sees.

    `prepared` is by number of the model and name of the scan, in the order of the passes, for the
    scans that a model sees; `choice` says which. `brain` is what a model of its own found in the
    reference; `pictures` are coarse copies by name, where scans may be moved onto each other.
    """

    reference_name: str
    reference: Volume
    left_out: LeftOut
    seen: Mapping[str, ScanFacts]
    prepared: dict[tuple[int, str], Prepared]
    choice: Sights
    brain: FoundBrain | None = None
    pictures: Mapping[str, Picture] = field(default_factory=dict)


def read_scans(
    images: Mapping[str, Source], order: Sequence[str], left_out: LeftOut, run: Run
) -> Scans:
    """Read one scan after the other and bring it to the working grids; keep only the reference."""
    reference, choice = left_out.reference, choose_scans(run.models, order)
    kept: Volume | None = None
    seen: dict[str, ScanFacts] = {}
    prepared: dict[tuple[int, str], Prepared] = {}
    pictures: dict[str, Picture] = {}
    for name in (reference, *(name for name in order if name != reference)):
        with run.clock.stage("read"):
            volume = left_out.attempt(name, partial(_read, name, images[name]))
        if volume is None:
            continue
        seen[name] = ScanFacts(volume.grid, volume.path, volume.warnings, volume.scanner)
        kept = kept or volume
        with run.clock.stage("prepare"):
            for number in range(len(run.models)):
                if choice.sees(number, name):
                    prepared[number, name] = _prepare(name, volume, number, run)
            if run.options.registers:
                pictures[name] = picture_of(as_seen(name, volume.data), volume.grid)
        del volume
    if kept is None:
        raise ValueError("no scan was given")
    used = [name for name in order if name in seen]
    pairs = ((n, name) for n in range(len(run.models)) for name in used)
    passes = {pair: prepared[pair] for pair in pairs if pair in prepared}
    if not passes:
        raise DataError(
            f"no scan that the models are meant for could be read: {'; '.join(left_out.warnings())}"
        )
    shown = {name: seen[name] for name in used}
    brain = _brain_of(kept, run)
    return Scans(reference, kept, left_out, shown, passes, choice, brain, pictures)


def _brain_of(reference: Volume, run: Run) -> FoundBrain | None:
    """Find the brain in the reference, where there is a model for that."""
    loaded = run.ensemble.brain
    if loaded is None:
        return None
    with run.clock.stage("find the brain", 1):
        tta = None if run.options.tta else False
        return extract_brain(reference, loaded, tta=tta, on_window=run.clock.progress.on_window)


def _read(name: str, source: Source) -> Volume:
    """Read a scan, and check that it is what it is said to be."""
    return suited(name, read_scan(source))


def _prepare(name: str, volume: Volume, number: int, run: Run) -> Prepared:
    """Bring one scan to a model's working grid."""
    config = run.models[number].model.config
    working = working_grid(volume.grid, config.voxel_size_mm)
    data = as_seen(name, volume.data)
    second = run.second_of(number)
    if "foreground" in (config.normalisation, second and second.normalisation):
        # Before interpolation makes many voxels of a broken one.
        data = within_limits(data)
    image, fine = resample_image(data, volume.grid, working), None
    if second is not None:
        grid = working_grid(volume.grid, second.voxel_size_mm)
        fine = Fine(resample_image(data, volume.grid, grid), grid)
    return Prepared(image, working, volume.grid, fine)


def see_scans(scans: Scans, run: Run) -> Passed:
    """Run every network on every scan; what a network sees is let go of as it has been seen."""
    settings, progress = run.memory.settings, run.clock.progress
    members: list[Member] = []
    sights: dict[tuple[int, str], Sight] = {}
    looks: dict[tuple[int, str], Again] = {}
    for number, loaded in enumerate(run.models):
        flips = FLIPS if run.options.tta and loaded.model.config.flips else FLIPS[:1]
        telling = run.ensemble.tells_classes(number)
        for name in [name for n, name in scans.prepared if n == number]:
            scan = scans.prepared.pop((number, name))
            image, sight, native = _cut(name, scan, number, scans.brain, run)
            # What a network sees takes the place of the scan.
            plan, image = _prepared(image, number, run)
            with run.clock.stage(f"segment {name}", len(flips) * len(plan.starts)):
                logits = scan_logits(
                    loaded.engine, image, plan, flips, progress.on_window, settings.kept_bytes
                )
                logits.lean(loaded.model.config.lesion_offset(name))
            member = Member(logits, sight.kept, native, name, sight.is_cut, telling, number)
            if scan.fine is not None:
                member, looks[number, name] = _again(member, scan.fine.within(sight.kept), run)
            members.append(member)
            sights[number, name] = sight
        if settings.releases:
            for engine in (loaded.engine, loaded.second):
                if engine is not None:
                    engine.release()
    return Passed(members, sights, looks)


def _again(member: Member, fine: Fine, run: Run) -> tuple[Member, Again]:
    """Let a model's second stage look where its first says lesion."""
    loaded, second = run.models[member.model], run.second_of(member.model)
    if second is None:
        raise ValueError("a scan was prepared for a second stage that there is not")
    with run.clock.stage("prepare"):
        again = plan_again(member, fine, second)
    if again.crops is None:
        return member, again
    kept_bytes, on_window = run.memory.settings.kept_bytes, run.clock.progress.on_window
    with run.clock.stage(f"look again at {member.modality}", again.windows):
        return look_again(member, fine, loaded, again.crops, on_window, kept_bytes), again


def _cut(
    name: str, scan: Prepared, number: int, brain: FoundBrain | None, run: Run
) -> tuple[FloatArray, Sight, Grid]:
    """Cut a scan to its brain, where that is wanted and one is found; its own grid comes along."""
    loaded, whole = run.models[number], scan.working
    wanted = cast(FieldOfView, run.options.field_of_view or loaded.model.config.field_of_view)
    box = None
    if wanted == "brain" and brain is not None:
        box = brain.box_on(whole)
    elif wanted == "brain":
        window = run.memory.settings.windows[number]
        with run.clock.stage(f"find the brain in {name}"):
            box = find_brain(scan.image, whole, loaded, window)
    if box is None:
        return scan.image, Sight(whole, whole, wanted, is_cut=False), scan.native
    sight = Sight(whole, grid_of(box, whole), wanted, is_cut=True)
    return np.ascontiguousarray(scan.image[box]), sight, scan.native


def _prepared(image: FloatArray, number: int, run: Run) -> tuple[WindowPlan, FloatArray]:
    """Normalise what a network sees, and lay windows over it."""
    config = run.models[number].model.config
    with run.clock.stage("prepare"):
        seen = prepared_image(image, config)
    window = run.memory.settings.windows[number]
    return lay_windows(seen, config, window, run.options.overlap), seen
