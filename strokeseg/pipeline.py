"""The one place that knows the order: scans in, a `Result` out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from strokeseg.arrays import BoolArray, LabelArray
from strokeseg.brain import brain_volume_ml, find_midline_mm
from strokeseg.counting import count_labels
from strokeseg.decision import decide, flip_volumes_ml, make_rule
from strokeseg.ensemble import Posterior, flip_spread, posterior
from strokeseg.errors import DataError
from strokeseg.grid import Grid
from strokeseg.lesions import find_lesions, lesion_volume_ml
from strokeseg.loaded import Hardware, LoadedModel, check_compatible, load_model
from strokeseg.memory_plan import plan_memory
from strokeseg.options import Options, Progress, Silence, choose_reference, order_modalities
from strokeseg.passes import Clock, Passed, Run, Scans, read_scans, see_scans
from strokeseg.record import Measures, case_warnings, make_record
from strokeseg.resample import resample_image
from strokeseg.result import Result
from strokeseg.threads import at_most
from strokeseg.volume import Outline, Source, outline

ModelChoice = str | LoadedModel


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
        reference = choose_reference(order, options.reference)
        with clock.stage("read"):
            outlines = {name: outline(images[name]) for name in order}
            _check_overlap(reference, outlines)
        with clock.stage("load model"):
            models = _loaded(model, hardware, offline, clock.progress)
        asked_bytes = hardware.max_memory_bytes if hardware else None
        memory = plan_memory(outlines, reference, models, options, asked_bytes)
        if memory.limit_bytes is not None:
            clock.progress.on_note(memory.note())
        del outlines
        with at_most(memory.settings.threads):
            run = Run(models, options, memory, clock)
            scans = read_scans(images, order, reference, run)
            return _conclude(scans, see_scans(scans, run), run)


def _conclude(scans: Scans, passed: Passed, run: Run) -> Result:
    """Turn logits into a lesion, and measure it. Each array goes when it is no longer needed."""
    grid, config, options = scans.reference.grid, run.models[0].model.config, run.options
    names, rule, members = config.class_names, make_rule(config, options), passed.members
    fusion = options.fused(config.fusion)
    with run.clock.stage("compare flips"):
        working = passed.sights[0, scans.reference_name].whole
        least = rule.threshold, rule.min_peak
        spread = flip_spread(members, working, *least, with_std=options.uncertainty, fusion=fusion)
        members[:] = [replace(m, logits=replace(m.logits, per_flip=[])) for m in members]
    with run.clock.stage("classify"):
        answer = posterior(
            members,
            grid,
            with_entropy=options.uncertainty,
            with_argmax=rule.threshold is None,
            slab_bytes=run.memory.settings.slab_bytes,
            fusion=fusion,
        )
        members.clear()
        decision = decide(answer, grid, rule)
        answer = replace(answer, is_argmax=None)
    with run.clock.stage("compare flips"):
        range_ml = flip_volumes_ml(spread, working, decision, grid, rule)
        flips = len(spread.levels)
        std = spread.std
        del spread
    with run.clock.stage("measure"):
        brain = None if decision.brain is None else _brain(decision.brain, grid)
        mask = decision.mask
        del decision
        np.copyto(answer.tissue, np.uint8(len(names) - 1), where=mask)
        measures = _measure(mask, answer, grid, names, brain, (range_ml, flips))
        if std is not None:
            std = resample_image(std, working, grid)
        warnings = (*case_warnings(scans.seen, measures), *run.memory.warnings())
        record = make_record(scans.seen, run.models, options, measures, asdict(rule), run.memory)
    record |= {
        "reference": scans.reference_name,
        **passed.as_record(fusion),
        "warnings": list(warnings),
        "seconds": run.clock.seconds,
    }
    return Result(
        mask=mask,
        probability=answer.probability,
        tissue=answer.tissue,
        entropy=answer.entropy,
        flip_std=std,
        grid=grid,
        class_names=names,
        lesions=measures.lesions,
        volume_ml=measures.volume_ml,
        volume_range_ml=measures.volume_range_ml,
        tissue_volumes_ml=measures.tissue_volumes_ml,
        brain_volume_ml=measures.brain_volume_ml,
        warnings=warnings,
        record=record,
        reference=scans.reference,
        frame=passed.frame(scans.reference_name),
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


def _check_overlap(reference_name: str, scans: Mapping[str, Outline]) -> None:
    """Refuse scans that share no space with the reference."""
    reference = scans[reference_name]
    for name, scan in scans.items():
        if not reference.grid.overlaps(scan.grid):
            raise DataError(
                f"{name} ({scan.path}) and {reference_name} ({reference.path}) share no space: "
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


def _tissue_ml(labels: LabelArray, names: Sequence[str], grid: Grid) -> dict[str, float]:
    """Give each class's volume."""
    counts = count_labels(labels, len(names)).tolist()
    return {name: count * grid.voxel_volume_ml for name, count in zip(names, counts, strict=True)}


def _measure(
    mask: BoolArray,
    answer: Posterior,
    grid: Grid,
    names: Sequence[str],
    brain: tuple[float, float | None] | None,
    flips: tuple[tuple[float, float], int],
) -> Measures:
    """Measure lesions and tissues on the reference's grid; the brain was measured before."""
    return Measures(
        volume_ml=lesion_volume_ml(mask, grid),
        volume_range_ml=flips[0],
        tissue_volumes_ml=_tissue_ml(answer.tissue, names, grid),
        brain_volume_ml=None if brain is None else brain[0],
        lesions=find_lesions(mask, answer.probability, grid, None if brain is None else brain[1]),
        flips=flips[1],
    )


def _brain(brain: BoolArray, grid: Grid) -> tuple[float, float | None]:
    """Measure a brain: its volume in ml, and where its midline is, in mm."""
    return brain_volume_ml(brain, grid), find_midline_mm(brain, grid)
