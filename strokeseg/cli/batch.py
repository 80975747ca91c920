"""`strokeseg batch`: every case of a cohort, and tables of all of them."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strokeseg.cli import arguments as a
from strokeseg.cli import method
from strokeseg.cli.jobs import check_anonymity, job_of
from strokeseg.cli.plan import show_plan
from strokeseg.cli.runs import Runs, wants_mean
from strokeseg.cli.save_format import SaveFormat
from strokeseg.cli.seg import check_segs, without_dicom
from strokeseg.cli.show.lines import (
    say,
    say_error,
    say_warning,
    show_facts,
    show_table,
    show_text,
    tell_damaged,
)
from strokeseg.errors import StrokesegError
from strokeseg.phrases import counted

if TYPE_CHECKING:
    from strokeseg.cohort.batch.job import BatchJob, Outcome
    from strokeseg.cohort.batch.run import Runner
    from strokeseg.cohort.cases.case import Cohort
    from strokeseg.cohort.collect import Tables

_FAILURES_SHOWN = 20

Input = Annotated[
    Path,
    typer.Argument(
        metavar="INPUT",
        help="A BIDS dataset; a folder of cases; or a CSV or TSV with the column case, a column "
        "per contrast (t1, t2, flair, dwi, adc, pd, ct) and, if you like, truth and output.",
        show_default=False,
    ),
]
OutputFolder = Annotated[
    Path,
    typer.Argument(metavar="OUTPUT", help="Made if it is not there.", show_default=False),
]


def batch(
    source: Input,
    output: OutputFolder,
    *,
    pattern: a.Patterns = None,
    reference: a.CaseReference = None,
    runs: Runs = "first",
    b_value: a.BValue = 1000.0,
    register: a.Register = False,
    register_always: a.RegisterAlways = False,
    strict: a.Strict = False,
    dry_run: a.DryRun = False,
    save: a.SaveOfOne = "mask,lesions,qc",
    save_format: SaveFormat = "nifti",
    resume: a.Resume = True,
    anonymise: a.AnonymiseCases = False,
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
    """Segment every case of a cohort; a case that fails costs no other.

    The same command again goes on where it was, and does again what has changed. OUTPUT gets a
    folder per case, cohort.tsv with a row per case, and lesions.tsv with a row per lesion.
    """
    given = dict(locals())
    from strokeseg.cohort.batch.cluster.slurm import parse_slurm
    from strokeseg.cohort.batch.run import Runner
    from strokeseg.cohort.cases.patterns import parse_patterns
    from strokeseg.results.output_names import parse_kinds

    save, wants_seg = without_dicom(save)
    check_anonymity(anonymise=anonymise, debug=debug, dry_run=dry_run)
    job = replace(job_of(given, output, parse_kinds(save)), as_dicom=wants_seg)
    place = Runner(jobs, dask, None if slurm is None else parse_slurm(slurm))
    wanted = {
        "patterns": parse_patterns(pattern or ()),
        "reference": reference,
        "average": wants_mean(runs),
    }
    cohort = find_cohort(source, wanted, anonymise=anonymise)
    if wants_seg:
        check_segs(cohort.cases, reference, anonymise=anonymise)
    cohort = choose_shard(cohort, shard, from_environment=place.is_here)
    cohort = hide_names(cohort, job, keep_labels=False)
    if dry_run:
        show_plan(cohort, job, here=place.is_here)
    else:
        run_cohort(cohort, job, place, Show(quiet=quiet, as_json=as_json))


@dataclass(frozen=True)
class Show:
    """What to show of a batch."""

    quiet: bool = False
    as_json: bool = False


def find_cohort(source: Path, wanted: "Mapping[str, Any]", *, anonymise: bool) -> "Cohort":
    """Find the cases, or say why not; an anonymous batch says it without any name."""
    from strokeseg.cohort.cases.find import find_cases

    try:
        return find_cases(source, **wanted)
    except StrokesegError as error:
        if not anonymise:
            raise
        raise type(error)(
            "the cases of INPUT cannot be told; the same with --dry-run and without --anonymise "
            "says why"
        ) from None


def choose_shard(cohort: "Cohort", shard: str | None, *, from_environment: bool) -> "Cohort":
    """Leave the part of the cases that this process is to do."""
    from strokeseg.cohort.batch.shard import parse_shard, shard_from_environment, take_shard

    part = parse_shard(shard) if shard is not None else None
    if part is None and from_environment:
        part = shard_from_environment(os.environ)
    if part is None:
        return cohort
    cases = take_shard(cohort.cases, part)
    say(f"part {part}: {len(cases)} of {counted(len(cohort.cases), 'case')}")
    return replace(cohort, cases=cases)


def hide_names(cohort: "Cohort", job: "BatchJob", *, keep_labels: bool) -> "Cohort":
    """Give the cases of an anonymous batch pseudonyms, unless they have labels that are some."""
    if not job.anonymise:
        return cohort
    from strokeseg.cohort.cases.pseudonyms import anonymise_cohort

    return anonymise_cohort(cohort, job.options.reference, keep_labels=keep_labels)


def run_cohort(cohort: "Cohort", job: "BatchJob", place: "Runner", show: Show) -> None:
    """Run every case, write the tables, and show how it went.

    Raises
    ------
    typer.Exit
        With 1, if a case failed, or another one that lies there is damaged.
    StrokesegError
        If the batch cannot run at all, or was interrupted.
    """
    from strokeseg.cli.show.batch import BatchReporter
    from strokeseg.cohort.batch.run import prepare_job, run_cases
    from strokeseg.cohort.collect import collect
    from strokeseg.results.archive import COHORT_TABLE

    veil = veil_of(cohort, job)
    for note in cohort.notes if not show.quiet else ():
        say_warning(note)
    with BatchReporter(len(cohort.cases), quiet=show.quiet, veil=veil) as reporter:
        job = prepare_job(job, cohort.cases, cohort.root, reporter)
        if cohort.kind == "bids":
            from strokeseg.cohort.bids_derivative import describe

            describe(cohort.root, job.output, anonymise=job.anonymise)
        outcomes = run_cases(cohort.cases, job, place, reporter)
    tables: Tables | None = None
    trouble: StrokesegError | None = None
    try:
        if job.output.is_dir():  # not made yet, if this part of the cases is empty
            tables = collect(job.output, job.run, anonymous=job.anonymise)
    except StrokesegError as error:
        trouble = error
    if show.as_json:
        content = _as_record(outcomes, tables, veil)
        show_text(json.dumps(content, indent=2, ensure_ascii=False))
    elif not show.quiet:
        _show_summary(outcomes, tables, veil)
    if trouble is not None:
        raise trouble
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failed:
        say_error(
            f"{len(failed)} of {counted(len(outcomes), 'case')} failed, the first "
            f"{failed[0].case}; see {veil(str(job.output / COHORT_TABLE))}, and the file "
            "*_error.json of each"
        )
    tell_damaged(tables.damaged.items() if tables is not None else ())
    if failed:
        raise typer.Exit(1)


def veil_of(cohort: "Cohort", job: "BatchJob", *, scans: bool = False) -> Callable[[str], str]:
    """Give what takes folders, and scans, of an anonymous batch out of a message; else nothing."""
    from strokeseg.results.anonymous import Redactor

    if not job.anonymise:
        return str
    named = [item for case in cohort.cases if scans for item in case.images.items()]
    folders = [(job.output, "OUTPUT"), (cohort.root, "INPUT")]
    return Redactor([*folders, *((path, modality) for modality, path in named)])


def _show_summary(
    outcomes: "tuple[Outcome, ...]", tables: "Tables | None", veil: Callable[[str], str]
) -> None:
    """Write how many cases ended how, why some failed, and where the tables are, to stdout."""
    counts = _counts(outcomes)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failed:
        rows = [(o.case, str(o.exit_code), o.message) for o in failed[:_FAILURES_SHOWN]]
        more = len(failed) - len(rows)
        show_table(("failed", "code", "why"), rows)
        if more:
            show_text(f"and {more} more")
    facts = {
        "done": str(counts["done"]),
        "done before": str(counts["skipped"]),
        "failed": str(counts["failed"]),
    }
    if tables is not None:
        warned = f", {tables.warned} with warnings" if tables.warned else ""
        every = counted(tables.done + tables.failed, "case")
        facts["table"] = f"{veil(str(tables.cohort))} ({every}{warned})"
        lesions = counted(tables.lesion_count, "lesion")
        facts["lesions"] = f"{veil(str(tables.lesions))} ({lesions})"
    show_facts(facts)


def _as_record(
    outcomes: "tuple[Outcome, ...]", tables: "Tables | None", veil: Callable[[str], str]
) -> dict[str, object]:
    return {
        **_counts(outcomes),
        "cohort_table": None if tables is None else veil(str(tables.cohort)),
        "lesion_table": None if tables is None else veil(str(tables.lesions)),
        "cases": [outcome.as_record() for outcome in outcomes],
    }


def _counts(outcomes: "tuple[Outcome, ...]") -> dict[str, int]:
    statuses = [outcome.status for outcome in outcomes]
    return {status: statuses.count(status) for status in ("done", "skipped", "failed")}
