"""Carry a model from one machine to another, as one folder."""

from pathlib import Path

from strokeseg.errors import ModelFormatError, UsageError
from strokeseg.models.finding import FoundModel
from strokeseg.models.folder import read_model_folder
from strokeseg.models.hub_settings import HubSettings
from strokeseg.models.registry import Registry, unsaid_of
from strokeseg.models.store import (
    Manifest,
    checked_name,
    export_model,
    export_target,
    import_model,
    read_manifest,
)
from strokeseg.models.tensors import WEIGHTS_FILE


def export_checked(found: FoundModel, target: Path, *, overwrite: bool = False) -> Path:
    """Copy a model, once it was read and found whole, into a folder that can be carried.

    Parameters
    ----------
    found
        The model.
    target
        A folder that is there receives a subfolder called after the model; one that is not there
        becomes the model's own, as with ``cp -r``.
    overwrite
        Replace the model's folder where it is there already.

    Returns
    -------
    Path
        The model's folder.

    Raises
    ------
    CannotCreateError
        The folder is there already, or cannot be created.
    """
    found.read()
    manifest = found.manifest()
    folder = export_target(manifest.name, target)
    export_model(found.folder, manifest, folder, overwrite=overwrite)
    return folder


def import_checked(
    source: Path,
    settings: HubSettings,
    registry: Registry,
    *,
    name: str | None = None,
    overwrite: bool = False,
) -> tuple[Manifest, Path]:
    """Copy a carried model into this machine's store, once it was read and found whole.

    Parameters
    ----------
    source
        What `export_checked` wrote, the folder around it, or any model folder.
    settings
        Say where the store is.
    registry
        Its checksums hold for the models that it pins.
    name
        The name to give it; else its manifest's, else its folder's.
    overwrite
        Replace a model that has the name already.

    Returns
    -------
    manifest : Manifest
        With the name that it now has.
    folder : Path
        Its place in the store.

    Raises
    ------
    InputNotFoundError
        There is no model folder there.
    UsageError
        The name is a bundled model's, or no name.
    WeightsUnavailableError
        A file is not the one that the manifest or the registry expects.
    ModelFormatError
        The files cannot be read or do not fit each other.
    CannotCreateError
        A model of that name is there already.
    """
    folder = _model_folder(source)
    carried = read_manifest(folder)
    name = checked_name(name or (carried.name if carried else folder.resolve().name))
    entry = registry.entries.get(name)
    if entry is not None and entry.folder is not None:
        raise UsageError(f"{name} comes with strokeseg; import it under another name with --name")
    checksums = {**(carried.checksums if carried else {}), **(entry.checksums if entry else {})}
    read_model_folder(
        folder,
        name=name,
        unsaid=unsaid_of(entry),
        checksums=checksums,
        remedy="export and copy the folder again",
    )
    manifest = Manifest(
        name,
        carried.repository if carried else (entry.repository if entry else None),
        carried.revision if carried else None,
        checksums,
    )
    return manifest, import_model(folder, manifest, settings, overwrite=overwrite)


def _model_folder(source: Path) -> Path:
    """Give the model folder that is meant: the one named, or the only one in it."""
    if not source.is_dir() or (source / WEIGHTS_FILE).is_file():
        return source
    inner = [item for item in sorted(source.iterdir()) if (item / WEIGHTS_FILE).is_file()]
    if len(inner) > 1:
        names = ", ".join(item.name for item in inner)
        raise ModelFormatError(f"{source}: holds several models ({names}); import them one by one")
    return inner[0] if inner else source
