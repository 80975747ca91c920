"""`strokeseg bids`: a batch as BIDS Apps are called, with derivatives as BIDS has them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strokeseg.cli import arguments as a
from strokeseg.cli import method
from strokeseg.cli.batch import (
    Show,
    choose_shard,
    find_cohort,
    hide_names,
    run_cohort,
    veil_of,
)
from strokeseg.cli.bids_app import (
    CpuCount,
    MemoryMb,
    SkipValidation,
    Version,
    WorkDir,
    with_hyphens,
)
from strokeseg.cli.collect import write_and_show
from strokeseg.cli.jobs import check_anonymity, job_of
from strokeseg.cli.plan import show_plan
from strokeseg.cli.register import CaseCommand
from strokeseg.cli.runs import Runs, wants_mean
from strokeseg.cli.save_format import SaveFormat
from strokeseg.cli.show.lines import say, say_error, say_warning
from strokeseg.errors import UsageError

if TYPE_CHECKING:
    from strokeseg.cohort.batch.job import BatchJob
    from strokeseg.cohort.batch.run import Runner
    from strokeseg.cohort.cases.case import Cohort

LEVELS = ("participant", "group")
LABEL_OPTIONS = ("--participant-label", "--session-label")

BidsFolder = Annotated[
    Path,
    typer.Argument(metavar="BIDS_DIR", help="Root of the raw dataset.", show_default=False),
]
OutputFolder = Annotated[
    Path,
    typer.Argument(
        metavar="OUT_DIR",
        help="Of the derivatives, such as BIDS_DIR/derivatives/strokeseg; made if it is not there.",
        show_default=False,
    ),
]
Level = Annotated[
    str,
    typer.Argument(
        metavar="LEVEL",
        help="participant: segment; group: write cohort.tsv and lesions.tsv of all that is there, "
        "as every run of participants does at its end.",
        show_default=False,
    ),
]
Participants = Annotated[
    list[str] | None,
    typer.Option(
        "--participant-label",
        metavar="LABEL ...",
        rich_help_panel=a.CASES,
        help="Only these, such as 01 02; with or without sub-.",
    ),
]
Sessions = Annotated[
    list[str] | None,
    typer.Option(
        "--session-label",
        metavar="LABEL ...",
        rich_help_panel=a.CASES,
        help="Only these, such as 01; with or without ses-.",
    ),
]
FilterFile = Annotated[
    Path | None,
    typer.Option(
        "--bids-filter-file",
        metavar="JSON",
        rich_help_panel=a.CASES,
        help="Which scan of a contrast is meant, by entities, as fMRIPrep has it.",
        show_default=False,
    ),
]


def _entity(name: str, about: str) -> object:
    return typer.Option(
        f"--{name}", metavar="[NAME=]LABEL", rich_help_panel=a.CASES, help=about, show_default=False
    )


Acq = Annotated[
    list[str] | None,
    _entity("acq", "Only scans with this acq-, such as t1=mprage; none: without any."),
]
Run = Annotated[
    list[str] | None, _entity("run", "Only this run-; else the first of several, told.")
]
Space = Annotated[
    list[str] | None, _entity("space", "Only this space-; none: on the scanner's own grid.")
]
FmriprepRoi = Annotated[
    bool,
    typer.Option(
        "--fmriprep-roi",
        rich_help_panel=a.RESULTS,
        help="Also write each lesion into BIDS_DIR, beside its T1w and on its grid, named "
        "_label-lesion_roi.nii.gz, where fMRIPrep looks for it, and name it in "
        "BIDS_DIR/.bidsignore. No other option writes among the raw data.",
    ),
]


class BidsCommand(CaseCommand):
    """A command whose label options take several values, as those of BIDS Apps do."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Read the arguments once each label has an option of its own."""
        return super().parse_args(ctx, spread_labels(with_hyphens(args)))


def spread_labels(arguments: Sequence[str]) -> list[str]:
    """Give each label an option of its own: ``--participant-label 01 02``, or ``01,02``.

    All words up to the next option are labels, but for BIDS_DIR, OUT_DIR and the level at their
    end. The older spelling ``--participant_label`` is understood too.
    """
    spread: list[str] = []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        name, given, value = word.partition("=")
        name = name.replace("_", "-") if name.startswith("--") else name
        if word == "--":
            return [*spread, word, *waiting]
        if name not in LABEL_OPTIONS:
            spread.append(word)
            continue
        labels = [value] if given else []
        while waiting and not given and not waiting[0].startswith("-"):
            labels.append(waiting.pop(0))
        if len(labels) > 3 and labels[-1] in LEVELS:
            spread += labels[-3:]
            labels = labels[:-3]
        each = [label for text in labels for label in text.split(",") if label]
        spread += [part for label in each for part in (name, label)] or [name]
    return spread


def bids(
    bids_dir: BidsFolder,
    out_dir: OutputFolder,
    level: Level,
    *,
    participant_label: Participants = None,
    session_label: Sessions = None,
    bids_filter_file: FilterFile = None,
    acq: Acq = None,
    run: Run = None,
    space: Space = None,
    pattern: a.Patterns = None,
    reference: a.CaseReference = None,
    runs: Runs = "first",
    b_value: a.BValue = 1000.0,
    register: a.Register = False,
    register_always: a.RegisterAlways = False,
    strict: a.Strict = False,
    dry_run: a.DryRun = False,
    save: a.Save = "mask,lesions,qc",
    save_format: SaveFormat = "nifti",
    fmriprep_roi: FmriprepRoi = False,
    n_cpus: CpuCount = None,
    mem_mb: MemoryMb = None,
    work_dir: WorkDir = None,
    skip_bids_validation: SkipValidation = False,
    version: Version = False,
    resume: a.Resume = True,
    anonymise: a.AnonymiseBids = False,
    as_json: a.OutcomesAsJson = False,
    jobs: a.Jobs = 1,
    dask: a.Dask = None,
    slurm: a.Slurm = None,
    shard: a.ShardOption = None,
    model: a.Models = None,
    window: a.Window = None,
    overlap: a.Overlap = 0.5,
    tta: method.Tta = None,
    fast: a.Fast = False,
    threshold: a.Threshold = None,
    min_volume_ml: a.MinVolume = None,
    min_peak: a.MinPeak = None,
    brain_mask: a.BrainMask = None,
    brain_model: method.BrainModel = None,
    field_of_view: method.SeenField = None,
    fusion: method.FusionName = None,
    stages: method.Stages = None,
    weight: method.Weights = None,
    engine: a.EngineName = "auto",
    device: a.Device = "auto",
    precision: a.Precision = "fp32",
    threads: a.Threads = None,
    max_memory: a.MaxMemoryOfAll = None,
    offline: a.Offline = False,
    quiet: a.Quiet = False,
    debug: a.Debug = False,
) -> None:
    """Segment a BIDS dataset as a BIDS App: strokeseg bids BIDS_DIR OUT_DIR participant.

    Does what strokeseg batch does, and makes OUT_DIR a dataset of BIDS derivatives.
    """
    given = dict(locals())
    given["threads"] = threads if n_cpus is None else n_cpus
    given["max_memory"] = max_memory if mem_mb is None else f"{mem_mb}M"
    if work_dir is not None and not quiet:
        say(f"-w {work_dir} is not needed: nothing but results is written, into OUT_DIR")
    from strokeseg.cohort.batch.cluster.slurm import parse_slurm
    from strokeseg.cohort.batch.run import Runner
    from strokeseg.cohort.bids_derivative import check_folders
    from strokeseg.cohort.cases.entities import read_filter
    from strokeseg.cohort.cases.patterns import parse_patterns
    from strokeseg.results.output_names import parse_kinds

    check_anonymity(anonymise=anonymise, debug=debug, dry_run=dry_run)
    check_folders(bids_dir, out_dir)
    if level not in LEVELS:
        raise UsageError(f"{level} is no level of analysis: give participant or group")
    if level == "group":
        write_and_show(out_dir, quiet=quiet, anonymise=anonymise)
        return
    kinds = parse_kinds(save)
    if fmriprep_roi and "mask" not in kinds:
        raise UsageError(f"--fmriprep-roi needs the mask, which --save {save} leaves out")
    job = job_of(given, out_dir, kinds)
    place = Runner(jobs, dask, None if slurm is None else parse_slurm(slurm))
    wanted = {
        "patterns": parse_patterns(pattern or ()),
        "participants": participant_label or (),
        "sessions": session_label or (),
        "reference": reference,
        "average": wants_mean(runs),
        "entities": read_filter(
            bids_filter_file, {"acq": acq or (), "run": run or (), "space": space or ()}
        ),
    }
    cohort = find_cohort(bids_dir, wanted, anonymise=anonymise)
    if cohort.kind != "bids":
        raise UsageError(
            f"{bids_dir} is no BIDS dataset (no dataset_description.json, no sub-*/anat): use "
            "strokeseg batch"
        )
    cohort = choose_shard(cohort, shard, from_environment=place.is_here)
    cohort = hide_names(cohort, job, keep_labels=True)
    if dry_run:
        show_plan(cohort, job, here=place.is_here)
        return
    work = _run_with_masks if fmriprep_roi else run_cohort
    work(cohort, job, place, Show(quiet=quiet, as_json=as_json))


def _run_with_masks(cohort: "Cohort", job: "BatchJob", place: "Runner", show: Show) -> None:
    """Run every case, and write the masks of those that went well beside the T1w scans.

    Raises
    ------
    typer.Exit
        With 1, if a case failed or a mask could not be written.
    """
    from strokeseg.cohort.fmriprep import prepare_rois, write_rois

    prepare_rois(cohort.root)
    end: typer.Exit | None = None
    try:
        run_cohort(cohort, job, place, show)
    except typer.Exit as failed:
        end = failed
    rois, veil = write_rois(cohort, job.output), veil_of(cohort, job, scans=True)
    for path in rois.kept:
        say_warning(
            f"{veil(str(path))}: was there before or was edited since, and is kept as it is; move "
            "it away to have one of strokeseg"
        )
    for line in rois.failed:
        say_error(veil(line))
    if not show.quiet:
        masks = "1 mask" if len(rois.written) == 1 else f"{len(rois.written)} masks"
        say(f"{masks} for fMRIPrep beside the T1w scans of {veil(str(cohort.root))}")
        for line in rois.without:
            say(veil(line))
    if rois.failed or end is not None:
        raise end if end is not None and not rois.failed else typer.Exit(1)
