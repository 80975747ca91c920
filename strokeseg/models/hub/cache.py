"""What the Hub's cache on this machine holds; nothing here makes a request."""

import re
from dataclasses import dataclass
from pathlib import Path

from strokeseg.errors import UsageError
from strokeseg.models.folder import REQUIRED_FILES
from strokeseg.models.hub_settings import HubSettings
from strokeseg.models.store import recorded_checksums
from strokeseg.models.tensors import WEIGHTS_FILE

PREFIX = "hub:"

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_REFERENCE = re.compile(rf"(?P<repository>{_PART}/{_PART})(?:@(?P<revision>[\w][\w./-]*))?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LONGEST_REPOSITORY = 96


@dataclass(frozen=True)
class HubReference:
    """A repository on the Hub, and the branch, tag or commit to take; None for its main branch."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        """Write it as `parse_reference` reads it."""
        return f"{PREFIX}{self.repository}" + (f"@{self.revision}" if self.revision else "")


def parse_reference(text: str) -> HubReference:
    """Read ``hub:owner/name[@revision]``.

    Raises
    ------
    UsageError
        It is not of that form.
    """
    match = _REFERENCE.fullmatch(text.removeprefix(PREFIX))
    if (
        match is None
        or len(match["repository"]) > _LONGEST_REPOSITORY
        or "--" in match["repository"]
        or ".." in text
    ):
        raise UsageError(
            f"{text!r} is no Hub model: write hub:owner/name or hub:owner/name@revision"
        )
    return HubReference(match["repository"], match["revision"])


def cached_folder(reference: HubReference, settings: HubSettings) -> Path | None:
    """Find a model in the Hub's cache, without a request; None where a file of it is missing."""
    from huggingface_hub import try_to_load_from_cache

    found = [
        try_to_load_from_cache(
            reference.repository,
            file,
            cache_dir=settings.cache,
            revision=reference.revision or "main",
        )
        for file in REQUIRED_FILES
    ]
    folders = {Path(path).parent for path in found if isinstance(path, str)}
    return folders.pop() if len(folders) == 1 and all(isinstance(p, str) for p in found) else None


def known_checksums(reference: HubReference, folder: Path, settings: HubSettings) -> dict[str, str]:
    """Give what is known of a cached model's sha256 without a request.

    That is the record of its download; where another program fetched it, the name that the cache
    gave the weights, which for large files is the Hub's sha256.
    """
    known = recorded_checksums(reference.repository, folder.name, settings)
    blob = (folder / WEIGHTS_FILE).resolve().name
    if WEIGHTS_FILE not in known and _SHA256.fullmatch(blob):
        known[WEIGHTS_FILE] = blob
    return known


def remove_from_cache(path: Path) -> None:
    """Remove a file of the Hub's cache: its name in the snapshot and the blob that it points to."""
    while path.is_symlink():
        target = path.parent / path.readlink()
        path.unlink()
        path = target
    path.unlink(missing_ok=True)
