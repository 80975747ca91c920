"""The models known by name: `weights/registry.toml`, read and checked."""

import importlib.resources
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from strokeseg.errors import ModelFormatError, StrokesegError, WeightsUnavailableError
from strokeseg.models.classes import LESION, end_in_lesion

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TEXTS = ("summary", "licence", "citation")
_OPTIONAL = ("repository", "revision", "sha256", "config_sha256", "size_bytes", "note", "folder")


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
    unknown = sorted(set(fields) - {*_TEXTS, *_OPTIONAL, "classes"})
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
    if not isinstance(classes, list) or not texts or not end_in_lesion(classes):
        raise ModelFormatError(f"{where}: classes must be a list of names that ends in {LESION!r}")
    if ("folder" in fields) == ("repository" in fields):
        raise ModelFormatError(f"{where}: must have either a folder or a repository")
    patterns = {"sha256": _SHA256, "config_sha256": _SHA256, "revision": _COMMIT, "folder": _NAME}
    for field, pattern in (patterns | {"repository": _REPOSITORY}).items():
        if field in fields and not pattern.fullmatch(fields[field]):
            raise ModelFormatError(f"{where}: {field} {fields[field]!r} is not of the right form")
    values = {field: fields[field] for field in (*_TEXTS, *_OPTIONAL) if field in fields}
    if "folder" in values:
        values["folder"] = path.parent / values["folder"]
    return RegistryEntry(name=name, classes=tuple(classes), **values)
