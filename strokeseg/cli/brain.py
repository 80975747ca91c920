"""`strokeseg brain`: the brain in scans of any sequence."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strokeseg.cli import arguments as a
from strokeseg.cli.jobs import hardware_of
from strokeseg.cli.show.lines import Reporter, say_warning, show_facts, show_text
from strokeseg.errors import UsageError

if TYPE_CHECKING:
    from strokeseg.models.loading import LoadedModel
    from strokeseg.results.brain_files import BrainNames

Scans = Annotated[
    list[Path],
    typer.Argument(metavar="SCAN...", help="Of any sequence, whole heads or not."),
]
BrainModelName = Annotated[
    str,
    typer.Option(
        "--model", metavar="NAME|DIR", rich_help_panel=a.METHOD, help="A model that finds brains."
    ),
]


def brain(
    scans: Scans,
    *,
    output: a.Output,
    prefix: a.Prefix = None,
    overwrite: a.Overwrite = False,
    as_json: a.AsJson = False,
    model: BrainModelName = "mindgrab",
    tta: Annotated[
        bool,
        typer.Option(
            "--tta/--no-tta", rich_help_panel=a.METHOD, help="Average over 8 flips; 8 times longer."
        ),
    ] = False,
    engine: a.EngineName = "auto",
    device: a.Device = "auto",
    precision: a.Precision = "fp32",
    threads: a.Threads = None,
    offline: a.Offline = False,
    quiet: a.Quiet = False,
    debug: a.Debug = False,
) -> None:
    """Find the brain: its mask, the scan without all else, and a picture, on the scan's own grid.

    What HD-BET and SynthStrip are used for. Nothing is resampled but what the network sees.
    """
    given = dict(locals()) | {"max_memory": None}
    from strokeseg.files.targets import check_outputs
    from strokeseg.machine import at_most
    from strokeseg.models.loading import load_model
    from strokeseg.results.brain_files import BrainNames

    if prefix is not None and len(scans) > 1:
        raise UsageError("--prefix: there are several scans; leave it out, or give one")
    names = [BrainNames.of_scan(output, scan, prefix) for scan in scans]
    if len({each.mask for each in names}) < len(names):
        raise UsageError("two of the scans would be called alike: give them one by one, --prefix")
    for each in names:
        check_outputs(each.all(), scans, overwrite=overwrite)
    with at_most(threads), Reporter(quiet=quiet) as progress:
        loaded = load_model(model, hardware_of(given), offline=offline, say=progress.on_stage)
        if loaded.model.config.finds != "brain":
            raise UsageError(f"{model} finds lesions, not brains: choose mindgrab")
        for scan, where in zip(scans, names, strict=True):
            progress.on_stage(f"find the brain in {scan.name}")
            facts, written = _one(scan, where, loaded, tta=tta, overwrite=overwrite)
            if as_json:
                show_text(written[-1].read_text())
            elif not quiet:
                show_facts(facts)


def _one(
    scan: Path, names: "BrainNames", loaded: "LoadedModel", *, tta: bool, overwrite: bool
) -> tuple[dict[str, str], tuple[Path, ...]]:
    """Find the brain in one scan, write it, and give what to show of it."""
    from strokeseg._version import __version__
    from strokeseg.files.checksums import sha256
    from strokeseg.images.reading import read_scan
    from strokeseg.machine import peak_memory_bytes
    from strokeseg.measure.brain import brain_warnings
    from strokeseg.prediction.brain_extraction import extract_brain
    from strokeseg.results.brain_files import save_brain

    started = time.perf_counter()
    volume = read_scan(scan)
    found = extract_brain(volume, loaded, tta=tta or None)
    used = loaded.model
    warnings = (*volume.warnings, *brain_warnings(found.volume_ml, 0.0))
    made: dict[str, Any] = {
        "Model": {"Name": used.name, "Revision": used.revision, "Sha256": used.sha256},
        "Engine": f"{loaded.engine.name}, {loaded.engine.device}, {loaded.engine.precision}",
        "SourceSha256": sha256(scan) if scan.is_file() else None,
        "Strokeseg": __version__,
        "Seconds": round(time.perf_counter() - started, 2),
        "PeakMemoryBytes": peak_memory_bytes(),
        "Warnings": list(warnings),
    }
    written = save_brain(volume, found.mask, names, made, overwrite=overwrite)
    for warning in warnings:
        say_warning(f"{scan.name}: {warning}")
    facts = {
        "brain volume": f"{found.volume_ml:.0f} ml",
        "model": f"{used.name} ({made['Engine']})",
        "written": ", ".join(path.name for path in written),
        "in": str(written[-1].parent.resolve()),
    }
    return facts, written
