"""Models that lie elsewhere than on the Hub: fetched, checked, converted, and kept in the store."""

import shutil
from pathlib import Path

from strokeseg.errors import WeightsUnavailableError
from strokeseg.models.conversion import convert, require_torch
from strokeseg.models.folder import CONFIG_FILE, OPTIONAL_FILES, read_config
from strokeseg.models.https_files import Say, fetch_file
from strokeseg.models.hub.errors import offline_error
from strokeseg.models.hub_settings import HubSettings
from strokeseg.models.registry import RegistryEntry
from strokeseg.models.store import Manifest, keep_model
from strokeseg.phrases import counted


def fetch_source(entry: RegistryEntry, settings: HubSettings, *, force: bool, say: Say) -> Path:
    """Fetch the files of a registry entry's source and make a model folder of them.

    Parameters
    ----------
    entry
        With a source.
    settings
        Where to keep it.
    force
        Fetch again what is there.
    say
        Takes lines of progress.

    Returns
    -------
    Path
        The model's folder in the store.

    Raises
    ------
    WeightsUnavailableError
        Offline, unreachable, not what was expected, or only torch can read it and is not here.
    ModelFormatError
        What came is no network that the entry's config describes.
    """
    if entry.source is None or entry.config_folder is None or entry.reader is None:
        raise WeightsUnavailableError(f"{entry.name} has no source that it could be fetched from")
    if settings.offline:
        raise offline_error(entry.name, settings)
    if entry.reader == "torch":
        require_torch(entry.name)
    folder = settings.state / "downloads"
    if force:
        shutil.rmtree(folder, ignore_errors=True)
    paths = [fetch_file(entry.source, file, folder, entry.name, say) for file in entry.files]
    files = convert(entry.reader, paths, read_config(entry.config_folder), entry.name)
    for name in (CONFIG_FILE, *OPTIONAL_FILES):
        own = entry.config_folder / name
        if own.is_file():
            files[name] = own.read_bytes()
    kept = keep_model(files, Manifest(entry.name, None, entry.revision, {}), settings)
    for path in paths:
        path.unlink(missing_ok=True)
    say(f"{entry.name}: {counted(len(paths), 'file')} of {entry.revision} became {kept}")
    return kept
