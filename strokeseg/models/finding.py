"""From the name of a model to its files: bundled, imported, a folder, the Hub or another source.

A name is looked for in this order: ``hub:owner/name[@revision]``; the registry; what was imported;
a folder. A registry name therefore wins over a folder of the same name in the working directory,
which is written ``./NAME``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from strokeseg.errors import WeightsUnavailableError
from strokeseg.models.config import NOTHING, ModelConfig, Unsaid
from strokeseg.models.fetching import fetch_source
from strokeseg.models.folder import Model, read_config, read_model_folder, require_model_files
from strokeseg.models.hub.cache import (
    PREFIX,
    HubReference,
    cached_folder,
    known_checksums,
    parse_reference,
)
from strokeseg.models.hub.download import Say, download
from strokeseg.models.hub.errors import offline_error
from strokeseg.models.hub_settings import HubSettings, hub_settings
from strokeseg.models.registry import (
    Registry,
    RegistryEntry,
    load_registry,
    unknown_model,
    unsaid_of,
)
from strokeseg.models.store import Manifest, imported_folder, read_manifest

Origin = Literal["bundled", "imported", "cache", "fetched", "folder"]


@dataclass(frozen=True)
class FoundModel:
    """A model whose files are on this machine.

    Attributes
    ----------
    name
        What it is called in results.
    folder
        Where its files lie.
    origin
        How it came to be there.
    repository, revision
        Where on the Hub it came from, or None.
    unsaid
        What the registry says of it where its config is silent.
    checksums
        What is known of its files' sha256.
    """

    name: str
    folder: Path
    origin: Origin
    repository: str | None = None
    revision: str | None = None
    unsaid: Unsaid = NOTHING
    checksums: Mapping[str, str] = field(default_factory=dict)

    def manifest(self) -> Manifest:
        """Say what it is, for a folder that is carried to another machine."""
        name = self.name.partition("@")[0] if self.name.startswith(PREFIX) else self.name
        return Manifest(name, self.repository, self.revision, self.checksums)

    def read(self) -> Model:
        """Read and check it; see `strokeseg.models.folder.read_model_folder`."""
        remedies: dict[Origin, str] = {
            "bundled": "install strokeseg again",
            "imported": "import it again with `strokeseg weights import DIR --overwrite`",
            "cache": f"run `strokeseg weights download {self.name} --force`",
            "fetched": f"run `strokeseg weights download {self.name} --force`",
            "folder": "fetch it again",
        }
        return read_model_folder(
            self.folder,
            name=self.name,
            unsaid=self.unsaid,
            checksums=self.checksums,
            revision=self.revision,
            remedy=remedies[self.origin],
        )


def load_model_files(
    name: str | None = None,
    *,
    offline: bool = False,
    allow_download: bool = True,
    say: Say = lambda _: None,
) -> Model:
    """Find a model, fetch it where that is allowed, and read it.

    Parameters
    ----------
    name
        Registry name, imported name, folder or ``hub:owner/name[@revision]``; the registry's
        default where None.
    offline
        Make no request.
    allow_download
        Whether a model that is not here may be fetched.
    say
        Takes lines of progress.

    Raises
    ------
    WeightsUnavailableError
        There is no such model, it cannot be had, or it is not the expected one.
    ModelFormatError
        Its files cannot be read or do not fit each other.
    """
    return find_model(name, offline=offline, allow_download=allow_download, say=say).read()


def find_model(
    name: str | None = None,
    *,
    offline: bool = False,
    allow_download: bool = True,
    say: Say = lambda _: None,
) -> FoundModel:
    """Find a model's files, and fetch them where they are not here and that is allowed.

    What is here already is used without a request. Parameters and errors are those of
    `load_model_files`; the files themselves are not read.
    """
    settings = hub_settings(offline=offline)
    registry = load_registry()
    name = registry.default if name is None else name
    found = locate_model(name, settings, registry)
    if found is not None:
        return found
    if settings.offline:
        raise offline_error(name, settings)
    if not allow_download:
        raise WeightsUnavailableError(
            f"{name} is not on this machine: run `strokeseg weights download {name}` first"
        )
    return fetch_model(name, settings, registry, say=say)


def fetch_model(
    name: str,
    settings: HubSettings,
    registry: Registry,
    *,
    force: bool = False,
    say: Say = lambda _: None,
) -> FoundModel:
    """Fetch a model of the Hub or of another source, by its name or ``hub:owner/name[@revision]``.

    Raises
    ------
    WeightsUnavailableError
        It is no model that can be fetched, or cannot be had.
    """
    reference, entry = _reference(name, registry)
    if entry is not None and entry.source is not None:
        fetch_source(entry, settings, force=force, say=say)
        found = _imported(name, None, entry, settings)
        if found is not None:
            return found
    if reference is None:
        raise unknown_model(name, registry)
    expected = _pinned_checksums(entry, reference.revision)
    folder = download(reference, expected, settings, force=force, say=say)
    return _in_cache(name, reference, entry, folder, settings)


def locate_model(name: str, settings: HubSettings, registry: Registry) -> FoundModel | None:
    """Find a model's files on this machine, without a request.

    Returns
    -------
    FoundModel or None
        None where the name is good and the model would have to be fetched.

    Raises
    ------
    WeightsUnavailableError
        The name leads nowhere, or a bundled model is missing.
    """
    reference, entry = _reference(name, registry)
    if entry is not None and entry.folder is not None:
        return _bundled(entry)
    imported = _imported(name, reference, entry, settings)
    if imported is not None or (entry is not None and entry.source is not None):
        return imported
    if reference is not None:
        folder = cached_folder(reference, settings)
        return None if folder is None else _in_cache(name, reference, entry, folder, settings)
    path = Path(name).expanduser()
    if not name or not path.exists():
        raise unknown_model(name, registry)
    require_model_files(path)
    return FoundModel(path.resolve().name, path, "folder")


def what_it_finds(name: str, settings: HubSettings, registry: Registry) -> str | None:
    """Tell whether a model finds lesions or brains, without a request; None where that is unknown.

    Raises
    ------
    WeightsUnavailableError
        The name leads nowhere.
    ModelFormatError
        Its config cannot be read.
    """
    entry = registry.entries.get(name)
    if entry is not None:
        return entry.finds
    found = locate_model(name, settings, registry)
    if found is None:
        return None
    return ModelConfig.from_config(read_config(found.folder), found.unsaid).finds


def _reference(name: str, registry: Registry) -> tuple[HubReference | None, RegistryEntry | None]:
    """Give what a name means on the Hub and in the registry."""
    if name.startswith(PREFIX):
        reference = parse_reference(name)
        known = [e for e in registry.entries.values() if e.repository == reference.repository]
        return reference, (known[0] if known else None)
    entry = registry.entries.get(name)
    if entry is None or entry.repository is None:
        return None, entry
    return HubReference(entry.repository, entry.revision), entry


def _bundled(entry: RegistryEntry) -> FoundModel:
    folder = entry.folder
    if folder is None or not folder.is_dir():
        raise WeightsUnavailableError(
            f"{entry.name}: its folder {folder} is missing; install strokeseg again"
        )
    return FoundModel(
        entry.name, folder, "bundled", unsaid=unsaid_of(entry), checksums=entry.checksums
    )


def _imported(
    name: str,
    reference: HubReference | None,
    entry: RegistryEntry | None,
    settings: HubSettings,
) -> FoundModel | None:
    """Find a model in the store; for one of the Hub, only at the revision that is asked for."""
    plain = f"{PREFIX}{reference.repository}" if reference and name.startswith(PREFIX) else name
    folder = imported_folder(plain, settings)
    manifest = None if folder is None else read_manifest(folder)
    if folder is None or manifest is None:
        return None
    pinned = None if entry is None or entry.source is None else entry.revision
    wanted = pinned if reference is None else reference.revision
    if wanted is not None and manifest.revision not in (None, wanted):
        return None
    return FoundModel(
        name,
        folder,
        "imported" if pinned is None else "fetched",
        repository=manifest.repository,
        revision=manifest.revision,
        unsaid=unsaid_of(entry),
        checksums={**manifest.checksums, **_pinned_checksums(entry, wanted)},
    )


def _in_cache(
    name: str,
    reference: HubReference,
    entry: RegistryEntry | None,
    folder: Path,
    settings: HubSettings,
) -> FoundModel:
    known = known_checksums(reference, folder, settings)
    return FoundModel(
        name,
        folder,
        "cache",
        repository=reference.repository,
        revision=folder.name,
        unsaid=unsaid_of(entry),
        checksums={**known, **_pinned_checksums(entry, reference.revision)},
    )


def _pinned_checksums(entry: RegistryEntry | None, revision: str | None) -> dict[str, str]:
    """Give the registry's checksums, which hold for the revision that it pins alone."""
    return {} if entry is None or entry.revision != revision else entry.checksums
