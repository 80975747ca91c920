"""What strokeseg keeps of models on this machine: imported folders, and checksums on record.

Below `HubSettings.state`: ``models/NAME`` holds imported models, ``recorded`` one small file per
repository and revision, so that processes that run at once never write to a shared one.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeGuard

from strokeseg.errors import CannotCreateError, ModelFormatError, ReadWriteError, UsageError
from strokeseg.files.checksums import sha256
from strokeseg.files.links import leads_out
from strokeseg.models.folder import OPTIONAL_FILES, REQUIRED_FILES, require_model_files
from strokeseg.models.hub_settings import HubSettings

MANIFEST_FILE = "strokeseg.json"
_NAME = re.compile(r"(hub:)?[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")


@dataclass(frozen=True)
class Manifest:
    """Says what a carried folder is; lies in it as `MANIFEST_FILE`.

    Attributes
    ----------
    name
        What ``--model`` takes once it is imported: a plain name, or ``hub:owner/name``.
    repository, revision
        Where it came from on the Hub, or None.
    checksums
        sha256 by file name.
    """

    name: str
    repository: str | None
    revision: str | None
    checksums: Mapping[str, str]


def read_manifest(folder: Path) -> Manifest | None:
    """Read a folder's manifest; None where it has none.

    Raises
    ------
    ModelFormatError
        It is there and makes no sense.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes().decode("utf-8"))
        manifest = Manifest(
            name=checked_name(content["name"]),
            repository=content["repository"],
            revision=content["revision"],
            checksums={str(file): str(value) for file, value in content["checksums"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise ModelFormatError(
            f"{path}: is no manifest of an exported model; export the model again"
        ) from error
    if not set(manifest.checksums) <= {*REQUIRED_FILES, *OPTIONAL_FILES}:
        raise ModelFormatError(f"{path}: names files that no model has; export the model again")
    return manifest


def checked_name(name: object) -> str:
    """Give back a name that an imported model can have.

    Raises
    ------
    UsageError
        It is neither a plain name nor ``hub:owner/name``.
    """
    if not _is_name(name) or ("/" in name) != name.startswith("hub:"):
        raise UsageError(
            f"{name!r} cannot be a model's name: use letters, digits, '.', '_' and '-'"
        )
    return name


def imported_folder(name: str, settings: HubSettings) -> Path | None:
    """Give the folder of an imported model, or None."""
    if not _is_name(name):
        return None
    folder = _place(name, settings)
    return folder if (folder / MANIFEST_FILE).is_file() else None


def imported_models(settings: HubSettings) -> list[Manifest]:
    """List what was imported, by name."""
    root = settings.state / "models"
    if not root.is_dir():
        return []
    manifests = [read_manifest(folder) for folder in root.iterdir() if folder.name[0] != "."]
    return sorted((item for item in manifests if item is not None), key=lambda item: item.name)


def export_target(name: str, target: Path) -> Path:
    """Give the folder that an export writes, by the rule of ``cp -r``.

    A folder that is there already gets a subfolder called after the model; one that is not there
    becomes the model's own.
    """
    if not target.is_dir():
        return target
    return target / checked_name(name).removeprefix("hub:").replace("/", "--")


def export_model(source: Path, manifest: Manifest, target: Path, *, overwrite: bool) -> None:
    """Copy a model's files, and a manifest, into a folder of their own.

    Parameters
    ----------
    source
        Folder of the model.
    manifest
        What it is; its checksums are made anew from the files.
    target
        The folder to write; it appears whole or not at all.
    overwrite
        Replace a target that is there.

    Raises
    ------
    CannotCreateError
        The target is there already or cannot be created.
    ModelFormatError
        A file of the model is a link to something that is not the model's.
    ReadWriteError
        Copying failed half-way.
    """
    require_model_files(source)
    files = [*REQUIRED_FILES, *(file for file in OPTIONAL_FILES if (source / file).is_file())]
    for file in files:
        _check_own(source / file)
    checksums = {file: sha256(source / file) for file in files}
    with whole_folder(target, overwrite=overwrite) as partial:
        for file in files:
            shutil.copyfile(source / file, partial / file)
            if sha256(partial / file) != checksums[file]:
                raise ReadWriteError(f"{target / file}: the copy differs from {source / file}")
        content = asdict(manifest) | {"checksums": checksums}
        text = json.dumps(content, indent=2) + "\n"
        (partial / MANIFEST_FILE).write_text(text, encoding="utf-8")


def import_model(
    source: Path, manifest: Manifest, settings: HubSettings, *, overwrite: bool
) -> Path:
    """Copy a model into the store, where `imported_folder` finds it.

    Returns
    -------
    Path
        Its folder in the store.

    Raises
    ------
    CannotCreateError
        A model of that name is there already, or the store cannot be written.
    """
    target = _place(checked_name(manifest.name), settings)
    export_model(source, manifest, target, overwrite=overwrite)
    return target


def keep_model(files: Mapping[str, bytes], manifest: Manifest, settings: HubSettings) -> Path:
    """Write a model's files into the store, in the place of what may be there by its name.

    Returns
    -------
    Path
        Its folder in the store.

    Raises
    ------
    CannotCreateError
        The store cannot be written.
    """
    settings.state.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.state, prefix=".") as scratch:
        for name, content in files.items():
            (Path(scratch) / name).write_bytes(content)
        return import_model(Path(scratch), manifest, settings, overwrite=True)


def recorded_checksums(repository: str, revision: str, settings: HubSettings) -> dict[str, str]:
    """Give the sha256 that were recorded when a revision was fetched; empty where none were."""
    path = _record(repository, revision, settings)
    try:
        content = json.loads(path.read_bytes().decode("utf-8"))
    except (OSError, ValueError):
        return {}
    known = content.get("sha256") if isinstance(content, dict) else None
    return {str(file): str(value) for file, value in known.items()} if known else {}


def record_checksums(
    repository: str, revision: str, checksums: Mapping[str, str], settings: HubSettings
) -> None:
    """Record the sha256 of what was fetched.

    Raises
    ------
    CannotCreateError
        The record cannot be written.
    """
    path = _record(repository, revision, settings)
    content = {"repository": repository, "revision": revision, "sha256": dict(checksums)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=".", delete=False
        ) as file:
            file.write(json.dumps(content, indent=2) + "\n")
        Path(file.name).replace(path)
    except OSError as error:
        raise CannotCreateError(
            f"{path}: cannot be written ({error.strerror or error}); set HF_HOME to another folder"
        ) from error


def _check_own(path: Path) -> None:
    """Refuse a link out of a model's folder, but for those of the Hub's cache to its blobs."""
    folder = path.parent.resolve()
    blobs = folder.parent.parent / "blobs"
    own = not leads_out(path, folder) or not leads_out(path, blobs)
    if not own:
        raise ModelFormatError(
            f"{path}: is a link that leads out of the model's folder; put the file itself there"
        )


def _record(repository: str, revision: str, settings: HubSettings) -> Path:
    name = f"{repository}@{revision}".replace("/", "--")
    return settings.state / "recorded" / f"{name}.json"


def _place(name: str, settings: HubSettings) -> Path:
    return settings.state / "models" / name.replace(":", "--").replace("/", "--")


def _is_name(name: object) -> TypeGuard[str]:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None and len(name) <= 200


@contextmanager
def whole_folder(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a folder to fill that becomes `target` when all went well, and vanishes otherwise."""
    if os.path.lexists(target) and not overwrite:
        raise CannotCreateError(f"{target}: exists already; use --overwrite to replace it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    except OSError as error:
        raise CannotCreateError(
            f"{target}: cannot be created ({error.strerror or error})"
        ) from error
    try:
        partial = scratch / "new"
        partial.mkdir()
        yield partial
        _swap(partial, target, scratch / "old")
    except OSError as error:
        raise ReadWriteError(f"{target}: writing it failed ({error.strerror or error})") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _swap(new: Path, target: Path, old: Path) -> None:
    """Put `new` in the target's place; what was there goes to `old`, or back if that fails."""
    replacing = os.path.lexists(target)
    if replacing:
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if replacing:
            old.rename(target)
        raise
