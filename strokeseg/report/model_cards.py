"""Model cards, as plain text, of the models that a cohort was segmented with."""

from collections.abc import Iterable
from dataclasses import dataclass

from strokeseg.errors import StrokesegError
from strokeseg.models.finding import locate_model
from strokeseg.models.hub_settings import hub_settings
from strokeseg.models.registry import load_registry
from strokeseg.results.record import ModelRecord

_CARD = "README.md"
_TENSORS = "model.safetensors"
_MOST_BYTES = 200_000


@dataclass(frozen=True)
class ModelCard:
    """A model as the records name it; `text` is its card, None where that is not on this machine.

    `cases` counts those that were segmented with it.
    """

    name: str
    revision: str
    sha256: str
    cases: int
    text: str | None


def model_cards(models: Iterable[ModelRecord]) -> list[ModelCard]:
    """Find the card of each model; no request is made.

    Parameters
    ----------
    models : iterable of ModelRecord
        Name, revision and sha256 of each use of a model, as records have them.
    """
    uses: dict[tuple[str, str, str], int] = {}
    for model in models:
        one = (model.name or "", model.revision or "", model.sha256 or "")
        uses[one] = uses.get(one, 0) + 1
    return [
        ModelCard(name, revision, sha256, count, _text(name, sha256))
        for (name, revision, sha256), count in sorted(uses.items())
    ]


def _text(name: str, sha256: str) -> str | None:
    """Read the card of the very model that was used, by its checksum."""
    try:
        found = locate_model(name, hub_settings(offline=True), load_registry())
    except (StrokesegError, OSError, ValueError, RuntimeError):  # a name that leads nowhere
        return None
    if found is None or not sha256 or found.checksums.get(_TENSORS) != sha256:
        return None
    try:
        with (found.folder / _CARD).open("rb") as stream:
            return stream.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
