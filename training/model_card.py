"""The skeleton of a model card, filled with what was measured."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strokeseg.errors import InputNotFoundError, UsageError
from strokeseg.network.planar_spec import ARCHITECTURE as PLANAR
from strokeseg.training.config import from_document
from strokeseg.training.data.layout import layout_of
from strokeseg.training.settings import MODEL, TrainConfig, is_model
from strokeseg.training.validation.groups import GroupScore, markdown

NO_DATA = ("start_from", "label_table", "contrast_table")


@dataclass(frozen=True)
class CardFacts:
    """What a card says: the model's name and settings, how it was trained, what was measured.

    `own` is the table `strokeseg` of its config.json. `credits` names the data.
    `sections` are further parts by heading.
    """

    name: str
    licence: str
    own: Mapping[str, Any]
    training: Mapping[str, Any]
    credits: str = ""
    groups: Sequence[GroupScore] = ()
    parity: str = ""
    sections: Mapping[str, str] = field(default_factory=dict)


def model_card(facts: CardFacts) -> str:
    """Write the card in Markdown, with the Hub's front matter."""
    own = facts.own
    rule = "the most probable class"
    if own["threshold"] is not None:
        rule = f"lesion probability above {own['threshold']:g}"
    parts = [
        f"---\nlicense: {facts.licence.lower()}\ntags: [stroke, lesion, segmentation, MRI]\n---",
        f"# {facts.name}",
        "Segments stroke lesions and brain tissue in a brain scan of any contrast. "
        f"Classes: {', '.join(own['class_names'])}.",
        "## Use\n\n"
        f"Works on {own['voxel_size_mm']:g} mm voxels in windows of {own['window']}^3, intensities "
        f"normalised by `{own['normalisation']}`. Lesion is {rule}, in components of at least "
        f"{own['min_volume_ml']:g} ml{', within the brain' if own['brain_mask'] else ''}"
        f"{_peak(own['min_peak'])}.{_raised(own.get('lesion_offsets', {}))} "
        "For research. Not a medical device; nothing here replaces a radiologist.",
        f"## Training\n\n{_training(facts.training)}"
        + (f"\n\nData:\n\n{facts.credits}" if facts.credits else ""),
    ]
    if facts.groups:
        parts.append(
            "## Validation\n\nSynthetic images of heads and lesions that training never saw, each "
            f"over eight flips; means over cases.\n\n{markdown(facts.groups)}"
        )
    if facts.parity:
        parts.append(f"## Precision\n\n{facts.parity}")
    parts += [f"## {heading}\n\n{text.strip()}" for heading, text in facts.sections.items()]
    return "\n\n".join(parts) + "\n"


def _peak(least: float) -> str:
    return f", that reach {least:g} somewhere" if least else ""


def _raised(offsets: Mapping[str, float]) -> str:
    if not offsets:
        return ""
    told = ", ".join(f"{name} by {offset:g}" for name, offset in offsets.items())
    return f" Before that the lesion's logit is raised in scans of {told}."


def read_sections(path: Path) -> dict[str, str]:
    """Read further sections from a TOML file: a text for each heading.

    Raises
    ------
    InputNotFoundError
        The file cannot be read.
    UsageError
        It is not TOML.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputNotFoundError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    return {str(heading): str(body) for heading, body in content.items()}


def training_facts(config: Mapping[str, Any], step: int, revision: str) -> dict[str, Any]:
    """Give what a model's config says of its training."""
    run = from_document(dict(config))
    return {
        "configuration": run.name,
        "steps": step,
        "slices" if run.architecture == PLANAR else "samples": step * run.optimiser.batch,
        "batch": run.optimiser.batch,
        "crop_vox": list(run.spatial.crop_vox),
        "voxel_size_mm": run.data.voxel_size_mm,
        "precision": run.optimiser.precision,
        "seed": run.seed,
        "code": revision,
    }


def data_credits(config: TrainConfig) -> str:
    """List the data of a configuration: whose what the bundled recipes have is, and what is not.

    A folder is known by its name alone, as those that `--layout` shows are.
    """
    lines = []
    if is_model(config.start_from):
        lines.append(
            f"- `{Path(config.start_from).name.removeprefix(MODEL)}`: the model that the training "
            "began with. The credits and the licences of its card hold for this one, too."
        )
    for place in layout_of(config):
        if place.key in NO_DATA:
            continue
        whose = "say here whose they are, and under which licence"
        if place.source:
            whose = f"in the bundled recipes {place.source}. If yours are others, {whose}"
        lines.append(f"- `{place.path.name}` ({place.key}): {whose}.")
    return "\n".join(lines)


def _training(facts: Mapping[str, Any]) -> str:
    lines = [f"- {key.replace('_', ' ')}: {_shown(value)}" for key, value in facts.items() if value]
    method = (
        "Drawn images, after Chalcroft et al. (arXiv 2404.01946), and real ones where the "
        "configuration mixes them in.\n\n"
    )
    return method + "\n".join(lines)


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
