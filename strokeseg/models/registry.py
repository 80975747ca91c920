"""The models known by name: `weights/registry.toml`, read and checked."""

import importlib.resources
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strokeseg.errors import ModelFormatError, StrokesegError, WeightsUnavailableError
from strokeseg.models.classes import BRAIN, LESION, end_in_a_finding
from strokeseg.models.config import NOTHING, Unsaid
from strokeseg.models.conversion import READERS
from strokeseg.models.https_files import MOST_BYTES, SourceFile

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PATH = re.compile(r"[A-Za-z0-9_-][\w.-]*(/[A-Za-z0-9_-][\w.-]*)*")
_ADDRESS = re.compile(r"https?://[\w.:-]+/[\w./-]*/")
_PATTERNS = {
    "sha256": _SHA256,
    "config_sha256": _SHA256,
    "revision": _COMMIT,
    "folder": _NAME,
    "repository": _REPOSITORY,
    "source": _ADDRESS,
    "config_folder": _NAME,
}
_TEXTS = ("summary", "licence", "citation")
_OPTIONAL = (
    *("repository", "revision", "sha256", "config_sha256", "size_bytes", "note", "folder"),
    *("source", "reader", "config_folder"),
)


@dataclass(frozen=True)
class RegistryEntry:
    """One model of the registry.

    Attributes
    ----------
    name
        The name that `--model` takes.
    summary, licence, citation, note
        One line of text each; `note` may be empty.
    classes
        Class names in the order of the network's outputs, the lesion last.
    folder
        Where a bundled model lies; None for one that is fetched.
    repository, revision
        ``owner/name`` on the Hub and the commit it is pinned to; None where unknown.
    sha256, config_sha256
        Of model.safetensors and of config.json; None where unknown.
    size_bytes
        Of model.safetensors; None where unknown.
    source, files, reader
        Address of a model that lies elsewhere than on the Hub, its files there, and how they are
        read: see `strokeseg.models.conversion`.
    config_folder
        What becomes of such files is a model by the config, card and golden record of this folder.
    sequences
        What it is meant for where its own config does not say; empty for any.
    """

    name: str
    summary: str
    licence: str
    citation: str
    classes: tuple[str, ...]
    note: str = ""
    folder: Path | None = None
    repository: str | None = None
    revision: str | None = None
    sha256: str | None = None
    config_sha256: str | None = None
    size_bytes: int | None = None
    source: str | None = None
    files: tuple[SourceFile, ...] = ()
    reader: str | None = None
    config_folder: Path | None = None
    sequences: tuple[str, ...] = ()

    @property
    def finds(self) -> str:
        """What it finds: the last of its classes, lesion or brain."""
        return self.classes[-1]

    @property
    def checksums(self) -> dict[str, str]:
        """The sha256 that are known, by file name."""
        known = {"model.safetensors": self.sha256, "config.json": self.config_sha256}
        return {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True)
class Registry:
    """Every model known by name, in the file's order, and the name of the default."""

    default: str
    entries: Mapping[str, RegistryEntry]

    def get(self, name: str) -> RegistryEntry:
        """Give the entry of a name.

        Raises
        ------
        WeightsUnavailableError
            There is none of that name.
        """
        if name not in self.entries:
            raise unknown_model(name, self)
        return self.entries[name]


def unsaid_of(entry: RegistryEntry | None) -> Unsaid:
    """Give what a registry says of a model whose config is silent; nothing of one that it lacks."""
    return NOTHING if entry is None else Unsaid(entry.classes, entry.sequences)


def unknown_model(name: str, registry: Registry) -> StrokesegError:
    """Make the error for a name that leads nowhere; it lists what there is."""
    hint = (
        f" (a Hub repository is written hub:{name})"
        if re.fullmatch(r"[\w.-]+/[\w.-]+", name)
        else ""
    )
    return WeightsUnavailableError(
        f"no model {name!r}{hint}: give a folder, hub:owner/name[@revision], a name that "
        f"`strokeseg weights import` gave, or one of {', '.join(registry.entries)}"
    )


def registry_path() -> Path:
    """Give the path of the installed registry."""
    return Path(str(importlib.resources.files("strokeseg.weights").joinpath("registry.toml")))


def load_registry(path: Path | None = None) -> Registry:
    """Read a registry.

    Parameters
    ----------
    path
        A TOML file; the installed one where None. Bundled folders lie beside it.

    Raises
    ------
    ModelFormatError
        The file is missing, is no TOML, or an entry is wrong.
    """
    path = registry_path() if path is None else path
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFormatError(
            f"{path}: the model registry cannot be read ({error}); install strokeseg again"
        ) from error
    models = content.get("models")
    if not isinstance(models, dict) or not models:
        raise ModelFormatError(f"{path}: the model registry has no [models.NAME] tables")
    entries = {name: _entry(path, name, fields) for name, fields in models.items()}
    default = content.get("default")
    if not isinstance(default, str) or default not in entries:
        raise ModelFormatError(f"{path}: its default {default!r} is not among its models")
    return Registry(default, entries)


def _entry(path: Path, name: str, fields: object) -> RegistryEntry:
    """Turn one table into a checked entry."""
    where = f"{path}: model {name}"
    if not _NAME.fullmatch(name) or not isinstance(fields, dict):
        raise ModelFormatError(f"{where}: is no table under a plain name")
    unknown = sorted(set(fields) - {*_TEXTS, *_OPTIONAL, "classes", "files", "sequences"})
    if unknown:
        raise ModelFormatError(f"{where}: unknown field {unknown[0]!r}")
    for field in _TEXTS:
        if not isinstance(fields.get(field), str) or not fields[field]:
            raise ModelFormatError(f"{where}: {field} must be a text")
    for field in _OPTIONAL:
        kind = int if field == "size_bytes" else str
        if field in fields and type(fields[field]) is not kind:
            raise ModelFormatError(f"{where}: {field} must be of type {kind.__name__}")
    classes = fields.get("classes")
    texts = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    if not isinstance(classes, list) or not texts or not end_in_a_finding(classes):
        raise ModelFormatError(
            f"{where}: classes must be a list of names that ends in {LESION!r} or {BRAIN!r}"
        )
    sequences = fields.get("sequences", [])
    if not isinstance(sequences, list) or not all(isinstance(name, str) for name in sequences):
        raise ModelFormatError(f"{where}: sequences must be a list of names")
    if sum(field in fields for field in ("folder", "repository", "source")) != 1:
        raise ModelFormatError(f"{where}: must have either a folder, a repository or a source")
    for field, pattern in _PATTERNS.items():
        if field in fields and not pattern.fullmatch(fields[field]):
            raise ModelFormatError(f"{where}: {field} {fields[field]!r} is not of the right form")
    values = {field: fields[field] for field in (*_TEXTS, *_OPTIONAL) if field in fields}
    for field in ("folder", "config_folder"):
        if field in values:
            values[field] = path.parent / values[field]
    return RegistryEntry(
        name=name,
        classes=tuple(classes),
        files=_files(where, fields),
        sequences=tuple(sequences),
        **values,
    )


def _files(where: str, fields: Mapping[str, Any]) -> tuple[SourceFile, ...]:
    """Read the files of a source, which is pinned to a commit; none where there is no source."""
    if "source" not in fields:
        if {"files", "reader", "config_folder"} & set(fields):
            raise ModelFormatError(f"{where}: files, reader and config_folder belong to a source")
        return ()
    missing = [f for f in ("files", "reader", "config_folder", "revision") if f not in fields]
    if missing or fields["reader"] not in READERS or fields["revision"] not in fields["source"]:
        raise ModelFormatError(
            f"{where}: a source needs files, a reader ({' or '.join(READERS)}), a config_folder, "
            "and a revision that its address is pinned to"
        )
    files = []
    entries: list[Any] = fields["files"] if isinstance(fields["files"], list) else [None]
    for entry in entries:
        try:
            file = SourceFile(**entry)
        except TypeError as error:
            raise ModelFormatError(
                f"{where}: each of its files is a table of path, sha256 and perhaps size_bytes"
            ) from error
        size = MOST_BYTES if file.size_bytes is None else file.size_bytes
        named = _PATH.fullmatch(str(file.path)) and _SHA256.fullmatch(str(file.sha256))
        if not named or type(size) is not int or not 0 < size <= MOST_BYTES:
            raise ModelFormatError(f"{where}: file {file.path!r} is not of the right form")
        files.append(file)
    return tuple(files)
