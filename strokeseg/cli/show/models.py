"""What `strokeseg weights` says of a model and of its check."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from strokeseg.errors import printable

if TYPE_CHECKING:
    from strokeseg.models.finding import FoundModel
    from strokeseg.models.second_stage import SecondStage
    from strokeseg.models.verification import Verdict


def verdict_line(verdict: "Verdict") -> str:
    """Say how the check of a model went, in a line."""
    if verdict.error is not None:
        return f"{verdict.name}: FAILED: {verdict.error}"
    known = "as expected" if verdict.checksum_known else "with nothing to compare it to"
    if verdict.engine is None:
        ran = "not run"
    elif verdict.golden is None:
        ran = f"no golden record, {verdict.engine}"
    else:
        ran = (
            f"golden record met by {verdict.engine}: {verdict.golden.worst_difference:.1e} of the "
            f"largest logit, tolerance {verdict.golden.tolerance:g}"
        )
    return f"{verdict.name}: ok: sha256 {verdict.sha256} {known}; {ran}"


def verdict_facts(verdict: "Verdict") -> dict[str, Any]:
    """Give how the check of a model went as plain values."""
    golden = None if verdict.golden is None else dataclasses.asdict(verdict.golden)
    return {
        "name": verdict.name,
        "ok": verdict.error is None,
        "folder": str(verdict.folder),
        "sha256": verdict.sha256 or None,
        "checksum_known": verdict.checksum_known,
        "engine": verdict.engine,
        "golden": golden,
        "problem": None if verdict.error is None else str(verdict.error),
    }


def fact_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """Write what is known of a model, a fact a line; the fusion's weights stand beside its rule."""
    for key, value in facts.items():
        if key == "fusion_weights":
            continue
        told: object = value
        if key == "fusion":
            told = "; ".join((value, *_weights_told(facts.get("fusion_weights", {}))))
        elif key == "sequences":
            told = value or "any"
        elif key == "files":
            told = [file["path"] for file in value]
        if told not in (None, "", {}, [], ()):
            yield f"{key + ':':<16}{text_of(told)}"


def _weights_told(weights: Mapping[str, float]) -> Iterator[str]:
    """Say how much sequences count beside others, those that do not count as much as the rest."""
    for name, weight in weights.items():
        if weight == 0:
            yield f"{name} is not heard beside others"
        elif weight != 1:
            yield f"{name} counts {weight:g} beside others"


def text_of(value: object) -> str:
    """Write a value in a line; a foreign model's config may hold anything."""
    items: object = value
    if isinstance(value, dict):
        items = [f"{key} {item}" for key, item in value.items()]
    return printable(", ".join(map(str, items)) if isinstance(items, list | tuple) else str(items))


def _second(second: "SecondStage") -> dict[str, Any]:
    """Describe a second stage."""
    return {
        "sees": " ".join(second.channels),
        "tells": " ".join(second.parts),
        "voxel_size_mm": second.voxel_size_mm,
        "crop": second.crop,
        "threshold": second.threshold,
        "sha256": second.sha256,
    }


def described(found: "FoundModel") -> dict[str, Any]:
    """Describe the files of a model that is here, without reading its tensors."""
    from strokeseg.models.config import ModelConfig
    from strokeseg.models.folder import read_config

    config = ModelConfig.from_config(read_config(found.folder), found.unsaid)
    return {
        "folder": str(found.folder),
        "repository": found.repository,
        "revision": found.revision,
        "classes": list(config.class_names),
        "checksums": dict(found.checksums),
        "voxel_size_mm": config.voxel_size_mm,
        "window": config.window,
        "normalisation": config.normalisation,
        "threshold": config.threshold,
        "min_volume_ml": config.min_volume_ml,
        "min_peak": config.min_peak,
        "brain_mask": config.brain_mask,
        "hull_margin_mm": config.hull_margin_mm,
        "field_of_view": config.field_of_view,
        "fusion": config.fusion.rule,
        "fusion_weights": dict(config.fusion.weights),
        "lesion_offsets": dict(config.lesion_offsets),
        "axes": config.axes,
        "sequences": list(config.sequences),
        "finds": config.finds,
        **({} if config.second is None else {"second_stage": _second(config.second)}),
        "training": dict(config.provenance),
        "card": str(found.folder / "README.md") if (found.folder / "README.md").is_file() else None,
    }
