"""`strokeseg weights`: what models there are, and how they get here, are checked and carried on."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strokeseg.cli.show.lines import show_lines
from strokeseg.cli.show.models import described, fact_lines, verdict_facts, verdict_line

if TYPE_CHECKING:
    from strokeseg.models.hub_settings import HubSettings
    from strokeseg.models.registry import Registry, RegistryEntry

app = typer.Typer(
    help="List, show, download, convert, verify, export and import models.", no_args_is_help=True
)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A registry name, a folder, or hub:owner/name[@rev].")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Make no network request.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


@app.command("list")
def list_models(*, as_json: JsonOption = False) -> None:
    """List the models known by name, and where each one is on this machine."""
    from strokeseg.models.hub_settings import hub_settings
    from strokeseg.models.registry import load_registry
    from strokeseg.models.store import imported_models

    settings, registry = hub_settings(offline=True), load_registry()
    rows = [_row(entry, settings, registry) for entry in registry.entries.values()]
    rows += [
        {"name": manifest.name, "here": "imported", "summary": "Imported on this machine"}
        for manifest in imported_models(settings)
        if manifest.name not in registry.entries
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    width = max(len(row["name"]) for row in rows) + 2
    marks = ("*" if row.get("default") else " " for row in rows)
    show_lines(
        (
            f"{mark} {row['name']:<{width}}{row['here'] or '-':<10}{row['summary']}"
            for mark, row in zip(marks, rows, strict=True)
        ),
        width + 12,
    )
    typer.echo("* is the default; - is not on this machine: strokeseg weights download", err=True)


@app.command("show")
def show(name: NameArgument, *, as_json: JsonOption = False) -> None:
    """Show what is known of one model: origin, licence, citation, classes, checksums, files."""
    from strokeseg.models.finding import locate_model
    from strokeseg.models.hub_settings import hub_settings
    from strokeseg.models.registry import load_registry

    settings, registry = hub_settings(offline=True), load_registry()
    entry = registry.entries.get(name)
    found = locate_model(name, settings, registry)
    facts: dict[str, Any] = {"name": name}
    if entry is not None:
        facts |= dataclasses.asdict(entry)
        facts["default"] = name == registry.default
    if found is not None:
        facts |= described(found)
    facts["here"] = None if found is None else found.origin
    if as_json:
        typer.echo(json.dumps(facts, indent=2, default=str))
        return
    for line in fact_lines(facts):
        typer.echo(line)
    if found is None:
        typer.echo(f"not on this machine: strokeseg weights download {name}", err=True)


@app.command("download")
def download_model(
    name: NameArgument,
    *,
    force: Annotated[bool, typer.Option("--force", help="Fetch again what is there.")] = False,
    offline: OfflineOption = False,
) -> None:
    """Fetch a model, check its sha256, and write its folder to stdout."""
    from strokeseg.models.finding import fetch_model, locate_model
    from strokeseg.models.hub.errors import offline_error
    from strokeseg.models.hub_settings import hub_settings
    from strokeseg.models.registry import load_registry

    settings, registry = hub_settings(offline=offline), load_registry()
    found = locate_model(name, settings, registry)
    if found is None or (force and found.origin in ("cache", "fetched", "imported")):
        if settings.offline:
            raise offline_error(name, settings)
        found = fetch_model(name, settings, registry, force=force, say=_say)
    else:
        _say(f"{name} is here already ({found.origin})")
    found.read()
    typer.echo(str(found.folder))


@app.command("verify")
def verify(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="All that are here if left out.")
    ] = None,
    *,
    engine: Annotated[str, typer.Option(help="Engine for the golden check.")] = "auto",
    device: Annotated[str, typer.Option(help="Device for the golden check.")] = "auto",
    files_only: Annotated[
        bool, typer.Option("--files-only", help="Check the files, run no network.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a model's sha256 and tensors, and that an engine reproduces its golden record."""
    from strokeseg.models.finding import find_model
    from strokeseg.models.hub_settings import hub_settings
    from strokeseg.models.registry import load_registry
    from strokeseg.models.verification import models_here, summary_error, verify_model

    settings, registry = hub_settings(offline=True), load_registry()
    if name is None:
        models = models_here(settings, registry)
    else:
        models = [find_model(name, allow_download=False)]
    verdicts = []
    for found in models:
        verdict = verify_model(found, engine=engine, device=device, run=not files_only)
        verdicts.append(verdict)
        if not as_json:
            typer.echo(verdict_line(verdict))
    if as_json:
        typer.echo(json.dumps([verdict_facts(verdict) for verdict in verdicts], indent=2))
    error = summary_error(verdicts)
    if error is not None:
        raise error


@app.command("export")
def export(
    name: NameArgument,
    target: Annotated[
        Path, typer.Argument(metavar="DIR", help="Becomes the model's folder, or receives it.")
    ],
    *,
    overwrite: OverwriteOption = False,
    offline: OfflineOption = False,
) -> None:
    """Copy a model into one folder to carry to another machine; write its path to stdout.

    Like `cp -r`: where DIR is a folder already, the model goes into a subfolder of its name.
    A published model that is not here is fetched first.
    """
    from strokeseg.models.carrying import export_checked
    from strokeseg.models.finding import find_model

    found = find_model(name, offline=offline, say=_say)
    folder = export_checked(found, target, overwrite=overwrite)
    _say(f"on the other machine: strokeseg weights import {folder.name}")
    typer.echo(str(folder))


@app.command("convert")
def convert_files(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Torch checkpoints, averaged if many.")
    ],
    *,
    kind: Annotated[
        str, typer.Option("--as", metavar="KIND", help="meshnet, or a registry name of one.")
    ] = "meshnet",
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Becomes the model's folder.")
    ],
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A config.json that describes the network instead."),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Make a model folder of torch checkpoints (needs torch); write its path to stdout.

    Nothing that a checkpoint could run is run: its tensors alone are read, and their shapes checked
    against the network.
    """
    from strokeseg.models.checkpoints import checkpoint_document, convert_checkpoints
    from strokeseg.models.registry import load_registry

    document = checkpoint_document(kind, config, len(files), load_registry())
    folder = convert_checkpoints(files, document, output, overwrite=overwrite)
    _say(f"use it with --model {folder}, or name it: strokeseg weights import {folder}")
    typer.echo(str(folder))


@app.command("import")
def import_folder(
    source: Annotated[
        Path, typer.Argument(metavar="DIR", help="What `export` wrote, or any model folder.")
    ],
    *,
    name: Annotated[str | None, typer.Option(help="Give it this name.")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Copy a model folder into this machine's store; write its name for --model to stdout."""
    from strokeseg.models.carrying import import_checked
    from strokeseg.models.hub_settings import hub_settings
    from strokeseg.models.registry import load_registry

    manifest, folder = import_checked(
        source, hub_settings(offline=True), load_registry(), name=name, overwrite=overwrite
    )
    _say(f"imported into {folder}; use it with --model {manifest.name}")
    typer.echo(manifest.name)


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _row(entry: "RegistryEntry", settings: "HubSettings", registry: "Registry") -> dict[str, Any]:
    from strokeseg.errors import StrokesegError
    from strokeseg.models.finding import locate_model

    try:
        found = locate_model(entry.name, settings, registry)
    except StrokesegError:
        found = None
    return {
        "name": entry.name,
        "default": entry.name == registry.default,
        "here": None if found is None else found.origin,
        "folder": None if found is None else str(found.folder),
        "classes": list(entry.classes),
        "licence": entry.licence,
        "repository": entry.repository,
        "revision": entry.revision,
        "summary": entry.summary,
    }
