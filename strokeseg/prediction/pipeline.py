"""The one place that knows the order: scans in, a `Result` out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from strokeseg.images.modalities import check_named, choose_reference, order_modalities
from strokeseg.images.reading import Source
from strokeseg.machine import at_most
from strokeseg.models.fusion import Fusion, silence
from strokeseg.models.loading import (
    Ensemble,
    Hardware,
    LoadedModel,
    ensemble_of,
    load_model,
)
from strokeseg.prediction.decision import Rule, decide, flip_volumes_ml, make_rule
from strokeseg.prediction.ensemble import Member, Posterior, posterior, shares_of
from strokeseg.prediction.filling import filled_case
from strokeseg.prediction.flip_spread import FlipSpread, flip_spread
from strokeseg.prediction.given_scans import arrived_scans, outlines_of
from strokeseg.prediction.leaving_out import LeftOut
from strokeseg.prediction.measures import (
    Measures,
    case_warnings,
    measure_brain,
    measure_case,
    measure_lesions,
    with_interval,
)
from strokeseg.prediction.memory_plan import plan_memory
from strokeseg.prediction.mni import mni_case
from strokeseg.prediction.options import Options
from strokeseg.prediction.parts import tell_parts, wanted_parts
from strokeseg.prediction.plausibility import doubts_about
from strokeseg.prediction.progress import Clock, Progress, Silence
from strokeseg.prediction.record import make_record
from strokeseg.prediction.registration import Standing, bring_together
from strokeseg.prediction.scans import Passed, Run, Scans, read_scans, see_scans
from strokeseg.prediction.volume_interval import calibrated_interval
from strokeseg.results.lesion_parts import LesionParts
from strokeseg.results.record import Record
from strokeseg.results.result import Result
from strokeseg.space.grid import Grid, working_grid
from strokeseg.space.registration import simpleitk
from strokeseg.space.resample import resample_image

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
        nibabel image, or a pair (array, affine), on any grid, orientation and resolution. A path
        may lead to DICOM (folder, zip, file), that of ``dwi`` to a series with b-values beside it.
    model
        A model's name or folder, one from `strokeseg.load_model`, or several of them, whose
        logits are averaged (of different classes the lesion's log-odds are); the bundled default
        if None. One of several may be a model that finds the brain for them.
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
    if options.needs_simpleitk:
        simpleitk()
    clock = Clock(progress or Silence())
    with at_most(_threads_of(model, hardware)):
        check_named(images)
        order = order_modalities(images)
        reference = choose_reference(order, options.reference)
        with clock.stage("read"):
            left_out = LeftOut(images, reference, options.strict)
            images = arrived_scans(images, order, left_out, options.b_value)
            outlines = outlines_of(images, left_out)
        with clock.stage("load model"):
            ensemble = _loaded(model, hardware, offline, options.stages, clock.progress)
        wanted_parts(ensemble, options)
        asked_bytes = hardware.max_memory_bytes if hardware else None
        memory = plan_memory(outlines, reference, ensemble, options, asked_bytes)
        if memory.limit_bytes is not None:
            clock.progress.on_note(memory.note())
        with at_most(memory.settings.threads):
            run = Run(ensemble, options, memory, clock)
            scans = read_scans(images, tuple(outlines), left_out, run)
            return _conclude(scans, see_scans(scans, run), run)


def _conclude(scans: Scans, passed: Passed, run: Run) -> Result:
    """Turn logits into a lesion, and measure it. Each array goes when it is no longer needed."""
    grid, config, options = scans.reference.grid, run.ensemble.leader.model.config, run.options
    names, members, fusion = config.class_names, passed.members, options.fused(config.fusion)
    found = None if scans.brain is None else scans.brain.mask
    rule = make_rule(config, options, brain_given=found is not None)
    shares = shares_of(members, fusion, [loaded.model.name for loaded in run.models])
    standing = _standing(members, scans, run)
    with run.clock.stage("compare flips"):
        working = working_grid(grid, config.voxel_size_mm)
        spread = _spread(members, working, rule, options, fusion)
    with run.clock.stage("classify"):
        parts = _parts(members, grid, fusion, run)
        answer = _classified(members, grid, rule, fusion, run)
        decision = decide(answer, grid, rule, found)
        answer = replace(answer, is_argmax=None)
    with run.clock.stage("compare flips"):
        range_ml = flip_volumes_ml(spread, working, decision, grid, rule)
        flips, std = len(spread.levels), spread.std
        del spread
    with run.clock.stage("measure"):
        mask, brain = decision.mask, decision.brain
        measured = None if brain is None else measure_brain(brain, grid)
        doubts = doubts_about(brain, scans.reference, scans.reference_name)
        del decision, brain, found
        lesions = measure_lesions(mask, answer, grid, names, measured)
        np.copyto(answer.tissue, np.uint8(len(names) - 1), where=mask)
        if parts is not None:
            parts.keep(mask)
        measures = measure_case(mask, answer, grid, names, lesions, measured, range_ml, flips)
        measures = _with_interval(measures, answer, scans, rule, run)
        std = None if std is None else resample_image(std, working, grid)
        told = doubts.with_lesions(mask, measures.lesions, scans.reference.data)
        mni = mni_case(options, mask, (answer.probability, answer.tissue), grid, names)
        filling = filled_case(options, scans.reference, scans.reference_name, mask, answer.tissue)
        told += [*([] if mni is None else mni.warnings()), *filling.warnings]
        warnings = _warnings(scans, measures, told, standing, run)
        record = make_record(scans.seen, run.ensemble, options, measures, asdict(rule), run.memory)
    record = _with_scans(record, scans, passed, standing, fusion)
    record = replace(record, shares=shares, mni=None if mni is None else mni.as_record())
    record = replace(record, part_volumes_ml=None if parts is None else parts.volumes_ml(grid))
    record = replace(record, warnings=warnings, seconds=run.clock.seconds)
    return Result(
        mask=mask,
        probability=answer.probability,
        tissue=answer.tissue,
        entropy=answer.entropy,
        flip_std=std,
        grid=grid,
        class_names=names,
        **measures.of_result(),
        parts=parts,
        warnings=warnings,
        record=record.write(),
        reference=scans.reference,
        frame=passed.frame(scans.reference_name),
        transforms=standing.transforms(),
        in_mni=None if mni is None else mni.lesion,
        filled=filling.filled,
    )


def _parts(members: list[Member], grid: Grid, fusion: Fusion, run: Run) -> LesionParts | None:
    """Hear what second stages say of the parts of the lesion, where they are to say it."""
    names = wanted_parts(run.ensemble, run.options)
    if not names:
        return None
    return tell_parts(members, grid, names, fusion, run.memory.settings.slab_bytes)


def _with_interval(
    measures: Measures, answer: Posterior, scans: Scans, rule: Rule, run: Run
) -> Measures:
    """Add the interval that the model's config has for its rule, where it holds for this run."""
    interval = calibrated_interval(run.ensemble, run.options, rule)
    fusion = run.options.fused(run.ensemble.leader.model.config.fusion)
    unsaid = silence(tuple(scans.seen), fusion)
    return with_interval(measures, answer, scans.reference.grid, interval, rule.threshold, unsaid)


def _standing(members: list[Member], scans: Scans, run: Run) -> Standing:
    """Compare the scans with the reference, and move those that are to be moved."""
    names, reference = run.ensemble.leader.model.config.class_names, scans.reference_name
    with run.clock.stage("compare scans"):
        return bring_together(members, reference, names, run.options, scans.pictures)


def _classified(
    members: list[Member], grid: Grid, rule: Rule, fusion: Fusion, run: Run
) -> Posterior:
    """Fuse the members and classify every voxel of the reference; the members are let go of."""
    answer = posterior(
        members,
        grid,
        with_entropy=run.options.uncertainty,
        with_argmax=rule.threshold is None,
        slab_bytes=run.memory.settings.slab_bytes,
        fusion=fusion,
    )
    members.clear()
    return answer


def _warnings(
    scans: Scans, measures: Measures, doubts: list[str], standing: Standing, run: Run
) -> tuple[str, ...]:
    """Gather what to mind: which models see what, the figures, how scans lie, and memory."""
    return (
        *scans.choice.warnings,
        *case_warnings(scans, measures),
        *doubts,
        *standing.warnings(scans.reference_name),
        *run.memory.warnings(),
    )


def _with_scans(
    record: Record, scans: Scans, passed: Passed, standing: Standing, fusion: Fusion
) -> Record:
    """Add to a record what was seen of which scans, how they lie to each other, how they met."""
    return replace(
        record,
        fusion=fusion.as_record(),
        reference=scans.reference_name,
        left_out=scans.left_out.as_record(),
        fields_of_view=passed.as_record(),
        stages=passed.looks_as_record(),
        alignment={name: one.as_record() for name, one in standing.alignment.items()},
        registration={name: one.as_record() for name, one in standing.moved.items()},
    )


def _spread(
    members: list[Member], working: Grid, rule: Rule, options: Options, fusion: Fusion
) -> FlipSpread:
    """Compare the flips by what makes a voxel lesion; they are let go of."""
    least = rule.threshold, rule.min_peak
    spread = flip_spread(members, working, *least, with_std=options.uncertainty, fusion=fusion)
    members[:] = [replace(m, logits=replace(m.logits, per_flip=[])) for m in members]
    return spread


def _threads_of(
    model: ModelChoice | Sequence[ModelChoice] | None, hardware: Hardware | None
) -> int | None:
    """Find how many threads were asked for, with the hardware or with a loaded model."""
    if hardware is not None:
        return hardware.threads
    choices = model if isinstance(model, list | tuple) else [model]
    limits = [c.threads for c in choices if isinstance(c, LoadedModel) and c.threads is not None]
    return min(limits, default=None)


def _loaded(
    model: ModelChoice | Sequence[ModelChoice] | None,
    hardware: Hardware | None,
    offline: bool,
    stages: int,
    progress: Progress,
) -> Ensemble:
    """Load the models that are not loaded yet, and tell lesions' from the brain's."""
    if model is None or isinstance(model, str | LoadedModel):
        choices: list[ModelChoice | None] = [model]
    else:
        choices = list(model)
    models = [
        c
        if isinstance(c, LoadedModel)
        else load_model(c, hardware, offline=offline, stages=stages, say=progress.on_stage)
        for c in choices
    ]
    return ensemble_of(models)
