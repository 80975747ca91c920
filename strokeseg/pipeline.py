"""The one place that knows the order: scans in, a `Result` out."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from strokeseg.arrays import LabelArray
from strokeseg.brain import brain_volume_ml, find_midline_mm
from strokeseg.decision import Decision, decide, flip_volumes_ml, label_map, make_rule
from strokeseg.ensemble import Member, Posterior, flip_spread, posterior
from strokeseg.errors import DataError
from strokeseg.flips import FLIPS
from strokeseg.grid import working_grid
from strokeseg.intensity import clip_hounsfield, normalise, padding_value
from strokeseg.lesions import find_lesions, lesion_volume_ml
from strokeseg.loaded import Hardware, LoadedModel, check_compatible, load_model
from strokeseg.options import Options, Progress, Silence, choose_reference, order_modalities
from strokeseg.record import Measures, case_warnings, make_record
from strokeseg.resample import resample_image
from strokeseg.result import Result
from strokeseg.scan import scan_logits
from strokeseg.threads import at_most
from strokeseg.volume import Source, Volume, read
from strokeseg.windows import plan_windows

ModelChoice = str | LoadedModel


@dataclass
class Clock:
    """Seconds per stage, in the order in which the stages came."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, windows: int = 0) -> Iterator[None]:
        """Time what happens inside, and tell of it."""
        self.progress.on_stage(name, windows)
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            self.seconds[name] = self.seconds.get(name, 0.0) + spent


def predict(
    images: Mapping[str, Source],
    *,
    model: ModelChoice | Sequence[ModelChoice] | None = None,
    hardware: Hardware | None = None,
    options: Options | None = None,
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Segment one case.

    Parameters
    ----------
    images
        A scan per modality: t1, flair, t2, dwi, adc, pd, ct, or any other name. Each is a path, a
        nibabel image, or a pair (array, affine), on any grid, orientation and resolution.
    model
        A model's name or folder, one from `strokeseg.load_model`, or several of them, whose
        logits are averaged; the bundled default if None.
    hardware
        Where to run models that are not loaded yet; the best that is there if None.
    options
        How to predict.
    offline
        Never fetch a model.
    progress
        Hears of stages and windows.

    Returns
    -------
    Result
        On the reference's own grid.

    Raises
    ------
    StrokesegError
        What is wrong, where, and what to do; see `strokeseg.errors`.
    """
    options = options or Options()
    clock = Clock(progress or Silence())
    with at_most(_threads_of(model, hardware)):
        order = order_modalities(images)
        reference_name = choose_reference(order, options.reference)
        with clock.stage("read"):
            volumes = {name: read(images[name]) for name in order}
            _check_overlap(reference_name, volumes)
        with clock.stage("load model"):
            models = _loaded(model, hardware, offline, clock.progress)
        reference = volumes[reference_name]
        members = [
            _run_network(loaded, name, volume, options, clock)
            for loaded in models
            for name, volume in volumes.items()
        ]
        rule = make_rule(models[0].model.config, options)
        with clock.stage("classify"):
            answer = posterior(members, reference.grid, with_entropy=options.uncertainty)
            decision = decide(answer, reference.grid, rule)
        with clock.stage("compare flips"):
            working = next(m.working for m in members if m.native is reference.grid)
            spread = flip_spread(members, working, rule.threshold)
            range_ml = flip_volumes_ml(spread, working, decision, reference.grid, rule)
            std = (
                resample_image(spread.std, working, reference.grid) if options.uncertainty else None
            )
        with clock.stage("measure"):
            names = models[0].model.config.class_names
            labels = label_map(answer.tissue, decision.mask, len(names) - 1)
            flips = (range_ml, len(spread.masks))
            measures = _measure(
                answer, decision, reference, _tissue_ml(labels, names, reference), flips
            )
            warnings = case_warnings(volumes, measures)
            record = make_record(volumes, models, options, measures, asdict(rule))
        record |= {
            "reference": reference_name,
            "warnings": list(warnings),
            "seconds": clock.seconds,
        }
        return Result(
            mask=decision.mask,
            probability=answer.probability,
            tissue=labels,
            entropy=answer.entropy,
            flip_std=std,
            grid=reference.grid,
            class_names=names,
            lesions=measures.lesions,
            volume_ml=measures.volume_ml,
            volume_range_ml=measures.volume_range_ml,
            tissue_volumes_ml=measures.tissue_volumes_ml,
            brain_volume_ml=measures.brain_volume_ml,
            warnings=warnings,
            record=record,
            reference=reference,
        )


def _threads_of(
    model: ModelChoice | Sequence[ModelChoice] | None, hardware: Hardware | None
) -> int | None:
    """Find how many threads were asked for, with the hardware or with a loaded model."""
    if hardware is not None:
        return hardware.threads
    choices = model if isinstance(model, list | tuple) else [model]
    limits = [c.threads for c in choices if isinstance(c, LoadedModel) and c.threads is not None]
    return min(limits, default=None)


def _check_overlap(reference_name: str, volumes: Mapping[str, Volume]) -> None:
    """Refuse scans that share no space with the reference."""
    reference = volumes[reference_name]
    for name, volume in volumes.items():
        if not reference.grid.overlaps(volume.grid):
            raise DataError(
                f"{name} ({volume.path}) and {reference_name} ({reference.path}) share no space: "
                "they are not of one session, or one of them has a wrong header; align them first"
            )


def _loaded(
    model: ModelChoice | Sequence[ModelChoice] | None,
    hardware: Hardware | None,
    offline: bool,
    progress: Progress,
) -> list[LoadedModel]:
    """Load the models that are not loaded yet, and check that they can be averaged."""
    if model is None or isinstance(model, str | LoadedModel):
        choices: list[ModelChoice | None] = [model]
    else:
        choices = list(model)
    models = [
        c
        if isinstance(c, LoadedModel)
        else load_model(c, hardware, offline=offline, say=progress.on_stage)
        for c in choices
    ]
    check_compatible(models)
    return models


def _run_network(
    loaded: LoadedModel, name: str, volume: Volume, options: Options, clock: Clock
) -> Member:
    """Bring one scan to the model's working grid and run the network on it."""
    config = loaded.model.config
    with clock.stage("prepare"):
        working = working_grid(volume.grid, config.voxel_size_mm)
        data = clip_hounsfield(volume.data) if name == "ct" else volume.data
        image = normalise(resample_image(data, volume.grid, working), config.normalisation)
        plan = plan_windows(
            image.shape,
            options.window or config.window,
            options.overlap,
            config.spec.stride_product,
        )
        plan = replace(plan, padding=padding_value(image, config.normalisation))
    flips = FLIPS if options.tta else FLIPS[:1]
    with clock.stage(f"segment {name}", len(flips) * len(plan.starts)):
        logits = scan_logits(loaded.engine, image, plan, flips, clock.progress.on_window)
    return Member(logits, working, volume.grid)


def _tissue_ml(labels: LabelArray, names: Sequence[str], reference: Volume) -> dict[str, float]:
    """Give each class's volume."""
    counts = np.bincount(labels.ravel(order="K"), minlength=len(names))
    voxel_ml = reference.grid.voxel_volume_ml
    return {name: float(count) * voxel_ml for name, count in zip(names, counts, strict=True)}


def _measure(
    answer: Posterior,
    decision: Decision,
    reference: Volume,
    tissue_ml: Mapping[str, float],
    flips: tuple[tuple[float, float], int],
) -> Measures:
    """Measure lesions, tissues and brain on the reference's grid."""
    grid = reference.grid
    midline_mm = None if decision.brain is None else find_midline_mm(decision.brain, grid)
    return Measures(
        volume_ml=lesion_volume_ml(decision.mask, grid),
        volume_range_ml=flips[0],
        tissue_volumes_ml=tissue_ml,
        brain_volume_ml=None if decision.brain is None else brain_volume_ml(decision.brain, grid),
        lesions=find_lesions(decision.mask, answer.probability, grid, midline_mm),
        flips=flips[1],
    )
