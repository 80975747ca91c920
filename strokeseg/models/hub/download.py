"""Fetch models from the Hugging Face Hub, pinned and checked, through huggingface_hub.

That library keeps the cache, follows proxies and mirrors, and goes on where a cut connection
stopped. What is added here: only three named files are fetched, each is compared with a sha256,
a wrong one leaves the cache again, and nothing is asked of the network for what is there already.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from strokeseg._version import __version__
from strokeseg.errors import ModelFormatError, WeightsUnavailableError
from strokeseg.files.checksums import sha256
from strokeseg.models.folder import CONFIG_FILE, is_pickle, names_second_stage
from strokeseg.models.hub.cache import HubReference, remove_from_cache
from strokeseg.models.hub.errors import explain, is_transient, network_errors, offline_error
from strokeseg.models.hub.guard import only_safe_addresses
from strokeseg.models.hub.progress import progress_arguments
from strokeseg.models.hub_settings import HubSettings, require_safe_address, shown_address
from strokeseg.models.store import record_checksums
from strokeseg.models.tensors import SECOND_FILE, WEIGHTS_FILE

CARD_FILE = "README.md"
ATTEMPTS = 3
PAUSE_S = 1.0

_SHA256 = re.compile(r"[0-9a-f]{64}")
_GIT_BLOB = re.compile(r"[0-9a-f]{40}")

# A cut connection loses what came since the last whole chunk; the client's own are of 10 MB.
_CHUNK_BYTES = 16384

T = TypeVar("T")
Say = Callable[[str], None]


def download(
    reference: HubReference,
    checksums: Mapping[str, str],
    settings: HubSettings,
    *,
    force: bool = False,
    say: Say = lambda _: None,
) -> Path:
    """Fetch a model into the Hub's cache.

    Parameters
    ----------
    reference
        What to fetch.
    checksums
        Expected sha256 by file name; the Hub's own is taken for weights that are not named.
    settings
        Where to keep it and whom to ask.
    force
        Fetch again what is there.
    say
        Takes one line of progress.

    Returns
    -------
    Path
        The folder in the cache, called after the commit.

    Raises
    ------
    WeightsUnavailableError
        Offline, unreachable, refused, not found, or not what was expected (both sha256 are named).
    ModelFormatError
        The repository holds no safetensors.
    """
    if settings.offline:
        raise offline_error(str(reference), settings)
    require_safe_address(settings.endpoint, what="HF_ENDPOINT")
    with _quiet_client(), only_safe_addresses():
        try:
            offered = _ask(reference, settings)
            expected = dict(checksums)
            _check_offer(reference, offered, expected)
            where = shown_address(settings.endpoint)
            say(f"fetching {reference} ({offered.size_text}) from {where}")
            paths = [
                _fetch(reference, CONFIG_FILE, settings, force=force),
                _fetch(reference, WEIGHTS_FILE, settings, force=force, say=say),
            ]
            # Before it is believed.
            found = {CONFIG_FILE: _verified(paths[0], offered, expected)}
            if names_second_stage(paths[0].parent):
                paths.append(_fetch(reference, SECOND_FILE, settings, force=force, say=say))
            _fetch_card(reference, settings, force=force)
        except network_errors() as error:
            raise explain(error, str(reference), settings) from error
    folders = {path.parent for path in paths}
    if len(folders) > 1:
        raise WeightsUnavailableError(f"{reference} changed while it was fetched; fetch it again")
    found |= {path.name: _verified(path, offered, expected) for path in paths[1:]}
    folder = folders.pop()
    record_checksums(reference.repository, folder.name, found, settings)
    say(f"{reference}: {WEIGHTS_FILE} has sha256 {found[WEIGHTS_FILE]}")
    if reference.revision != folder.name:
        same = HubReference(reference.repository, folder.name)
        say(f"{reference} is not pinned to a commit; this one is {same}")
    return folder


@dataclass(frozen=True)
class _Offer:
    """What the Hub says of the weights before they are fetched."""

    etag: str
    size_bytes: int | None

    @property
    def size_text(self) -> str:
        return "size unknown" if self.size_bytes is None else f"{self.size_bytes / 1e6:.1f} MB"


def _ask(reference: HubReference, settings: HubSettings) -> _Offer:
    """Ask the Hub for the checksum and size of the weights."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    url = hf_hub_url(
        reference.repository,
        WEIGHTS_FILE,
        revision=reference.revision,
        endpoint=settings.endpoint,
    )
    try:
        metadata = _persist(
            lambda: get_hf_file_metadata(
                url, library_name="strokeseg", library_version=__version__
            ),
            attempts=2,
        )
    except EntryNotFoundError as error:
        raise _no_weights(reference, settings) from error
    if metadata.location:
        require_safe_address(metadata.location, what=f"the address of {reference}")
    return _Offer(metadata.etag or "", metadata.size)


def _no_weights(reference: HubReference, settings: HubSettings) -> ModelFormatError:
    from huggingface_hub import HfApi

    files = HfApi(endpoint=settings.endpoint).list_repo_files(
        reference.repository, revision=reference.revision
    )
    pickles = [file for file in files if is_pickle(file)]
    if pickles:
        return ModelFormatError(
            f"{reference} holds {pickles[0]}, a pickle, which can run code and is never read, and "
            f"no {WEIGHTS_FILE}; ask its authors for safetensors"
        )
    return ModelFormatError(f"{reference} has no {WEIGHTS_FILE}; it is no model of this kind")


def _check_offer(reference: HubReference, offer: _Offer, expected: dict[str, str]) -> None:
    """Compare the Hub's sha256 with ours before the bytes; take it where we have none."""
    if not _SHA256.fullmatch(offer.etag):
        return
    ours = expected.setdefault(WEIGHTS_FILE, offer.etag)
    if ours != offer.etag:
        raise WeightsUnavailableError(
            f"{reference}: the Hub offers {WEIGHTS_FILE} with sha256 {offer.etag}, "
            f"expected {ours}; it was changed or replaced, and is not fetched"
        )


def _fetch(
    reference: HubReference,
    file: str,
    settings: HubSettings,
    *,
    force: bool,
    say: Say = lambda _: None,
) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(
        _persist(
            lambda: hf_hub_download(
                reference.repository,
                file,
                revision=reference.revision,
                cache_dir=settings.cache,
                endpoint=settings.endpoint,
                force_download=force,
                library_name="strokeseg",
                library_version=__version__,
                **progress_arguments(hf_hub_download, say),
            ),
            attempts=ATTEMPTS,
        )
    )


def _fetch_card(reference: HubReference, settings: HubSettings, *, force: bool) -> None:
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        _fetch(reference, CARD_FILE, settings, force=force)
    except LocalEntryNotFoundError:
        raise
    except EntryNotFoundError:
        return


def _persist(call: Callable[[], T], *, attempts: int) -> T:
    """Call again, after a growing pause, while the failure is one that passes."""
    for attempt in range(1, attempts):
        try:
            return call()
        except network_errors() as error:
            if not is_transient(error):
                raise
        time.sleep(PAUSE_S * 2 ** (attempt - 1))
    return call()


def _verified(path: Path, offer: _Offer, expected: Mapping[str, str]) -> str:
    """Give a file's sha256; where it is not the expected one, the file leaves the cache."""
    digest = found = sha256(path)
    wanted = expected.get(path.name)
    # The cache keeps a file under the name that the Hub gave it, for small ones their git hash.
    etag = offer.etag if path.name == WEIGHTS_FILE else path.resolve().name
    if wanted is None and _GIT_BLOB.fullmatch(etag):
        found, wanted = _git_blob(path), etag
    if wanted is not None and found != wanted:
        remove_from_cache(path)
        kind = "sha256" if len(wanted) == 64 else "git hash"
        raise WeightsUnavailableError(
            f"{path.name}: what came has {kind} {found}, expected {wanted}; it was removed again: "
            "fetch it once more, or from another network"
        )
    return digest


def _git_blob(path: Path) -> str:
    """Give the hash by which git, and so the Hub, knows a small file."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextmanager
def _quiet_client() -> Iterator[None]:
    """Keep huggingface_hub from drawing bars, reporting usage, and other ways than https."""
    from huggingface_hub import constants
    from huggingface_hub.utils import logging as client_logging
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    group = "huggingface_hub.http_get"
    settings: dict[str, Any] = {
        "HF_HUB_DISABLE_TELEMETRY": True,
        # Clients of their own, which would follow redirects that `only_safe_addresses` never sees.
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_ENABLE_HF_TRANSFER": False,
        "DOWNLOAD_CHUNK_SIZE": _CHUNK_BYTES,
    }
    before = {name: getattr(constants, name) for name in settings if hasattr(constants, name)}
    logger = client_logging.get_logger("huggingface_hub")
    level = logger.level
    shown = constants.HF_HUB_DISABLE_PROGRESS_BARS is None and not (are_progress_bars_disabled())
    try:
        for name in before:
            setattr(constants, name, settings[name])
        logger.setLevel(logging.ERROR)
        if shown:
            disable_progress_bars(group)
        yield
    finally:
        for name, value in before.items():
            setattr(constants, name, value)
        logger.setLevel(level)
        if shown:
            enable_progress_bars(group)
