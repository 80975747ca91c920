"""The options of a prediction, each said once, for every command that predicts."""

from pathlib import Path
from typing import Annotated

import typer

SCANS = "Scans (any number, any contrast)"
RESULTS = "Results"
METHOD = "Method"
MACHINE = "Machine"
CASES = "Cases"
MACHINES = "Many cases, many machines"


def _scan(name: str, about: str | None = None) -> object:
    return typer.Option(
        f"--{name}", metavar="FILE", rich_help_panel=SCANS, show_default=False, help=about
    )


T1 = Annotated[list[str] | None, _scan("t1")]
Flair = Annotated[list[str] | None, _scan("flair")]
T2 = Annotated[list[str] | None, _scan("t2")]
Dwi = Annotated[list[str] | None, _scan("dwi")]
Adc = Annotated[list[str] | None, _scan("adc")]
Pd = Annotated[list[str] | None, _scan("pd")]
Ct = Annotated[list[str] | None, _scan("ct", "Clipped to 0 to 80 HU first.")]
Image = Annotated[
    list[str] | None,
    typer.Option(
        "--image",
        metavar="NAME=FILE",
        rich_help_panel=SCANS,
        help="Any other contrast; may be repeated.",
    ),
]
Reference = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=SCANS,
        help="The scan whose grid the results have, such as flair; else the first in this order.",
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "-o", "--output", metavar="DIR", rich_help_panel=RESULTS, help="Made if it is not there."
    ),
]
Prefix = Annotated[
    str | None,
    typer.Option(rich_help_panel=RESULTS, help="Start of file names; else the reference's."),
]
_KINDS = (
    "Any of mask, probability, tissue, uncertainty, lesions, qc; or all; and mni (MNI152), filled "
    "(the T1w), parts (core and rim)."
)
Save = Annotated[str, typer.Option(rich_help_panel=RESULTS, help=_KINDS)]
SaveOfOne = Annotated[
    str,
    typer.Option(
        "--save",
        rich_help_panel=RESULTS,
        help=f"{_KINDS} And dicom, where the scan is DICOM: a SEG.",
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", rich_help_panel=RESULTS, help="Replace earlier results."),
]
Anonymise = Annotated[
    bool,
    typer.Option(
        "--anonymise",
        "--anonymize",
        rich_help_panel=RESULTS,
        help="Name no file, path, host or user in results and messages. Without --prefix, results "
        "are called sub- and the first 12 digits of the reference scan's sha256: who has the scan "
        "finds them by sha256sum, and nobody else can. The picture still shows the scan.",
    ),
]
AnonymiseCases = Annotated[
    bool,
    typer.Option(
        "--anonymise",
        "--anonymize",
        rich_help_panel=RESULTS,
        help="Name no case, file, path, host or user in results, tables and messages. Cases are "
        "called sub- and the first 12 digits of their reference scan's sha256: who has the scans "
        "finds them by sha256sum, and nobody else can; the same command goes on as usual. "
        "Pictures still show the scan; the report, which finds scans by their path, does not.",
    ),
]
AnonymiseBids = Annotated[
    bool,
    typer.Option(
        "--anonymise",
        "--anonymize",
        rich_help_panel=RESULTS,
        help="Name no file, path, host or user in results, tables and messages, and no source "
        "dataset. The labels sub- and ses- stay: they are the dataset's own pseudonyms; where "
        "they are not, use strokeseg batch --anonymise. Pictures still show the scan.",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", rich_help_panel=RESULTS, help="Write the record to stdout.")
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME|DIR",
        rich_help_panel=METHOD,
        help="From `strokeseg weights list`, a folder, or hub:owner/name; several are averaged.",
    ),
]
Window = Annotated[
    int | None,
    typer.Option(rich_help_panel=METHOD, help="Edge of the window in voxels; else the model's."),
]
Overlap = Annotated[
    float, typer.Option(rich_help_panel=METHOD, help="Share that windows overlap, 0 to below 1.")
]
Fast = Annotated[bool, typer.Option("--fast", rich_help_panel=METHOD, help="One pass, one stage.")]
Threshold = Annotated[
    float | None,
    typer.Option(rich_help_panel=METHOD, help="Lesion probability; else the model's own rule."),
]
MinVolume = Annotated[
    float | None,
    typer.Option(
        "--min-volume-ml", rich_help_panel=METHOD, help="Leave out lesions smaller than this."
    ),
]
MinPeak = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=METHOD, help="Leave out lesions that reach this probability nowhere."
    ),
]
BrainMask = Annotated[
    bool | None,
    typer.Option(
        "--brain-mask/--no-brain-mask",
        rich_help_panel=METHOD,
        help="Whether a lesion must touch the model's own brain; else the model's own rule.",
        show_default=False,
    ),
]
EngineName = Annotated[
    str,
    typer.Option("--engine", rich_help_panel=MACHINE, help="auto, openvino, onnxruntime or torch."),
]
Device = Annotated[
    str, typer.Option(rich_help_panel=MACHINE, help="auto, cpu, gpu (cuda), cuda:1 or mps.")
]
Precision = Annotated[
    str, typer.Option(rich_help_panel=MACHINE, help="fp32, or bf16 where the engine has it.")
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", "--nthreads", rich_help_panel=MACHINE, help="CPU threads; all if left out."
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory",
        metavar="SIZE",
        rich_help_panel=MACHINE,
        help="What the process may hold at once, such as 4G (10^9) or 4GiB: windows, slabs and "
        "threads are chosen from the headers so that it holds, or the scan is refused before it is "
        "read. On a CPU alone.",
    ),
]
MaxMemoryOfAll = Annotated[
    str | None,
    typer.Option(
        "--max-memory",
        metavar="SIZE",
        rich_help_panel=MACHINE,
        help="What all --jobs together, or each Dask worker, may hold at once, such as 4G (10^9) "
        "or 4GiB: windows, slabs and threads are chosen from the headers so that it holds, or the "
        "case fails before it is read. One case at a time for each process. On a CPU alone.",
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", rich_help_panel=MACHINE, help="Fetch no model.")
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress, no summary.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks; frame what was seen.")]
Patterns = Annotated[
    list[str] | None,
    typer.Option(
        "--pattern",
        metavar="NAME=GLOB",
        rich_help_panel=CASES,
        help="Which files are of a contrast, such as flair='*flair*.nii.gz'; may be repeated.",
    ),
]
CaseReference = Annotated[
    str | None,
    typer.Option(
        "--reference",
        metavar="NAME",
        rich_help_panel=CASES,
        help="The scan whose grid results have, such as flair; else t1, flair, t2, dwi, adc, pd, "
        "ct, the first that a case has.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", rich_help_panel=CASES, help="Show what would run, and stop."),
]
BValue = Annotated[
    float,
    typer.Option(
        "--b-value",
        rich_help_panel=SCANS,
        help="Of a diffusion series, the shell that the trace image is made of, in s/mm2.",
    ),
]
SeriesNumbers = Annotated[
    list[str] | None,
    typer.Option(
        "--series",
        metavar="NAME=NUMBER",
        rich_help_panel=SCANS,
        help="Which series is meant, where DICOM of a contrast holds several; may be repeated.",
    ),
]
Register = Annotated[
    bool,
    typer.Option(
        "--register",
        rich_help_panel=SCANS,
        metavar="[always]",
        help="Move scans 25 mm or 20 degrees off onto the reference; always: others, too.",
    ),
]
RegisterAlways = Annotated[bool, typer.Option("--register-always", hidden=True)]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        rich_help_panel=CASES,
        help="Fail a case with a scan that cannot be used; else that scan is left out with a "
        "warning, unless it is the one whose grid results have.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume/--no-resume",
        rich_help_panel=RESULTS,
        help="Skip cases whose results are there, whole, and made from the same files by the same "
        "model, options and version.",
    ),
]
OutcomesAsJson = Annotated[
    bool, typer.Option("--json", rich_help_panel=RESULTS, help="Write how cases ended to stdout.")
]
Jobs = Annotated[
    int, typer.Option(rich_help_panel=MACHINES, help="Processes here, with a model and cores each.")
]
Dask = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        rich_help_panel=MACHINES,
        help="Run on the workers of a Dask scheduler, such as tcp://host:8786.",
    ),
]
Slurm = Annotated[
    str | None,
    typer.Option(
        metavar="KEY=VALUE,...",
        rich_help_panel=MACHINES,
        help="Run on workers that SLURM starts, such as partition=gpu,mem=16GB,cores=8,jobs=4 (and "
        "walltime, account, gres, qos, constraint).",
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        rich_help_panel=MACHINES,
        help="Do the I-th of N parts; else what SLURM_ARRAY_TASK_ID says, where it is set.",
    ),
]
