"""`strokeseg predict`: one case, from scans to results."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strokeseg.cli import arguments as a
from strokeseg.cli import method
from strokeseg.cli.jobs import check_anonymity, hardware_of, options_of
from strokeseg.cli.runs import RunsOfOne, wants_mean
from strokeseg.cli.save_format import SaveFormat
from strokeseg.cli.scans import ToldScans, WantedScans, with_told
from strokeseg.cli.seg import check_seg, without_dicom
from strokeseg.cli.show.lines import Reporter, say_warning, show_facts, show_text
from strokeseg.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from strokeseg.arrays import BoolArray
    from strokeseg.images.reading import Source
    from strokeseg.models.loading import Hardware
    from strokeseg.prediction.options import Options
    from strokeseg.results.result import Result


def predict(
    told: ToldScans = None,
    *,
    t1: a.T1 = None,
    flair: a.Flair = None,
    t2: a.T2 = None,
    dwi: a.Dwi = None,
    adc: a.Adc = None,
    pd: a.Pd = None,
    ct: a.Ct = None,
    image: a.Image = None,
    series: a.SeriesNumbers = None,
    runs: RunsOfOne = "first",
    b_value: a.BValue = 1000.0,
    register: a.Register = False,
    register_always: a.RegisterAlways = False,
    reference: a.Reference = None,
    output: a.Output = Path(),
    prefix: a.Prefix = None,
    save: a.SaveOfOne = "mask,lesions,qc",
    save_format: SaveFormat = "nifti",
    overwrite: a.Overwrite = False,
    anonymise: a.Anonymise = False,
    as_json: a.AsJson = False,
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
    max_memory: a.MaxMemory = None,
    offline: a.Offline = False,
    quiet: a.Quiet = False,
    debug: a.Debug = False,
) -> None:
    """Segment the stroke lesions of one case (label-L in names of files: L is lesion, not left).

    Give every scan of the session that shows the brain, by options or by telling names:

    strokeseg predict --t1 a.nii --flair b.nii

    strokeseg predict a_T1w.nii.gz b_FLAIR.nii.gz

    The mask comes out on the grid of the first.
    """
    given = dict(locals())
    from strokeseg.results.output_names import parse_kinds

    scans = {"t1": t1, "flair": flair, "t2": t2, "dwi": dwi, "adc": adc, "pd": pd, "ct": ct}
    save, wants_seg = without_dicom(save)
    kinds = parse_kinds(save)
    check_anonymity(anonymise=anonymise, debug=debug)
    options = options_of(given, kinds)
    averages = wants_mean(runs)
    named = with_told(scans, told or (), averages=averages)
    wanted = WantedScans.of(named, image or (), series or (), averages=averages)
    wanted.check_weights(name for name, _ in options.weights)
    job = Job(
        images=wanted.images,
        models=method.models_of(given),
        hardware=hardware_of(given),
        options=options,
        offline=offline,
        output=Output(output, prefix, kinds, overwrite, anonymise, wants_seg, debug, save_format),
        opened=partial(wanted.opened, b_value),
        read=wanted.paths,
    )
    result, written = run_job(job, quiet=quiet)
    if as_json:
        show_text(written[-1].read_text())
    elif not quiet:
        show_summary(result, written, place=not anonymise)


@dataclass(frozen=True)
class Output:
    """Where results go, under which names, which of them, and whether they may replace others.

    `anonymise`: whether they name no file that they were made from. `as_dicom`: whether the mask is
    written as DICOM SEG, too. `framed`: whether the picture shows what the network saw.
    `save_format`: what mask and maps are written as beside NIfTI.
    """

    directory: Path
    prefix: str | None
    kinds: frozenset[str]
    overwrite: bool
    anonymise: bool = False
    as_dicom: bool = False
    framed: bool = False
    save_format: str = "nifti"


@dataclass(frozen=True)
class Job:
    """Everything that one prediction needs to know.

    `opened` gives the scans where some are more than their files: a chosen series, ADC computed, a
    mean of runs. `read` is every file that is read for them. `truth` is the true lesion on the
    reference's grid, where it is known: for the picture.
    """

    images: dict[str, Path]
    models: tuple[str, ...]
    hardware: "Hardware"
    options: "Options"
    offline: bool
    output: Output
    opened: "Callable[[], Mapping[str, Source]] | None" = None
    truth: "BoolArray | None" = None
    read: tuple[Path, ...] = ()


def run_job(job: Job, *, quiet: bool) -> tuple["Result", tuple[Path, ...]]:
    """Check where results go, predict, and save; returns the result and what was written."""
    from strokeseg.files.targets import check_outputs
    from strokeseg.images.modalities import choose_reference, order_modalities
    from strokeseg.machine import at_most
    from strokeseg.prediction.pipeline import predict as predict_case
    from strokeseg.results.anonymous import usual_prefix
    from strokeseg.results.dicom_seg import save_seg, seg_path
    from strokeseg.results.filled import FILLED_SCAN
    from strokeseg.results.other_formats import check_format, endings_of, other_names
    from strokeseg.results.output_names import OutputNames, check_prefix
    from strokeseg.results.record import Record

    output = job.output
    _check_is_folder(output.directory)
    read = job.read or tuple(job.images.values())
    _check_are_there(read)
    reference = choose_reference(order_modalities(job.images), job.options.reference)
    prefix = output.prefix
    if prefix is None:
        prefix = usual_prefix(job.images[reference], anonymise=output.anonymise)
    check_prefix(prefix)
    if "filled" in output.kinds and reference != FILLED_SCAN:
        raise UsageError(
            f"--save filled fills the T1w on its own grid, and results are on that of {reference}: "
            "give --t1, and no other --reference"
        )
    names = OutputNames.for_prefix(output.directory, prefix)
    check_format(output.save_format)
    endings = endings_of(output.save_format, job.images[reference])
    targets = [*names.chosen(output.kinds), *other_names(names, output.kinds, endings)]
    check_outputs(targets, read, overwrite=output.overwrite)
    seg = seg_path(names)
    if output.as_dicom:
        check_seg(job.images, reference, seg, output)
    with at_most(job.hardware.threads), Reporter(quiet=quiet) as progress:
        result = predict_case(
            job.opened() if job.opened else job.images,
            model=job.models or None,
            hardware=job.hardware,
            options=job.options,
            offline=job.offline,
            progress=progress,
        )
        progress.on_stage("save")
        written = replace(result, truth=job.truth).save(
            output.directory,
            prefix=prefix,
            kinds=output.kinds,
            overwrite=output.overwrite,
            anonymise=output.anonymise,
            framed=output.framed,
            endings=endings,
        )
        if output.as_dicom:
            models = [model.name for model in Record.read(result.record).models]
            save_seg(seg, result.mask, result.grid, job.images[reference], models)
            written = (*written[:-1], seg, written[-1])
    for warning in result.warnings:
        say_warning(warning)
    return result, written


def show_summary(result: "Result", written: tuple[Path, ...], *, place: bool = True) -> None:
    """Write the main figures, the files' names and, if wanted, their folder, to stdout."""
    from strokeseg.results.record import Record

    record = Record.read(result.record)
    first = record.models[0]
    show_facts(
        {
            "lesion volume": f"{result.volume_ml:.2f} ml",
            **interval_fact(result.volume_interval_ml),
            **mni_fact(record.mni),
            "lesions": str(len(result.lesions)),
            "model": f"{record.model_names} ({first.engine}, {first.device}, {first.precision})",
            "written": ", ".join(path.name for path in written),
            **({"in": str(written[-1].parent.resolve())} if place else {}),
        }
    )


def interval_fact(interval_ml: tuple[float, float] | None) -> dict[str, str]:
    """Say what the interval is, where there is one."""
    if interval_ml is None:
        return {}
    low, high = interval_ml
    told = "which held the true volume in 9 of 10 validation cases"
    return {"90 % interval": f"{low:.2f} to {high:.2f} ml, {told}"}


def mni_fact(told: "Mapping[str, Any] | None") -> dict[str, str]:
    """Say how large the lesion is in MNI152, where it was brought there."""
    return {} if told is None else {"in MNI152": f"{told['lesion_volume_in_mni_ml']:.2f} ml"}


def _check_are_there(paths: "Iterable[Path]") -> None:
    """Refuse what is not there before anything is said of its name.

    Raises
    ------
    InputNotFoundError
        If it is not.
    """
    from strokeseg.images.stream import require_file

    for path in paths:
        if not path.is_dir():  # of DICOM
            require_file(path)


def _check_is_folder(output: Path) -> None:
    """Refuse a folder for results that is called as an image is.

    Raises
    ------
    UsageError
        If it is.
    """
    from strokeseg.images.file_names import without_ending

    stem = without_ending(output.name)
    if stem != output.name and not output.is_dir():
        raise UsageError(
            f"-o {output}: -o is a folder; for other names give -o "
            f"{output.parent if output.parent.name else '.'} --prefix {stem}"
        )
