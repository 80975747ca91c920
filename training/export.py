"""From a checkpoint to a model folder: half-precision weights, config, card, golden, parity.

``python -m strokeseg.training.export runs/synth-open/last.pt -o weights/synth-open --cases 105``
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from strokeseg.arrays import AnyArray, FloatArray
from strokeseg.engines.base import Engine
from strokeseg.engines.choice import open_engine
from strokeseg.errors import CannotCreateError, UsageError
from strokeseg.files.atomic import write_atomically
from strokeseg.files.checksums import sha256
from strokeseg.files.json_files import read_json
from strokeseg.models.classes import BACKGROUND, CLASSES, LESION
from strokeseg.models.config import ModelConfig
from strokeseg.models.folder import CONFIG_FILE
from strokeseg.models.golden import GOLDEN_FILE, make_golden
from strokeseg.models.tensors import WEIGHTS_FILE
from strokeseg.models.volume_interval import FIELD
from strokeseg.network.state import Spec, read_spec
from strokeseg.training.command_line import command_parser, run_command
from strokeseg.training.config import from_document
from strokeseg.training.data.sources import Sources, load_sources
from strokeseg.training.fitting.checkpoint import TrainState, load_checkpoint
from strokeseg.training.fitting.run import inference_weights, network_spec
from strokeseg.training.model_card import (
    CardFacts,
    data_credits,
    model_card,
    read_sections,
    training_facts,
)
from strokeseg.training.settings import TrainConfig
from strokeseg.training.validation.groups import summarise, write_cases, write_groups
from strokeseg.training.validation.parity import Parity, compare
from strokeseg.training.validation.scaling import Scaling, fold_scaling, read_scaling
from strokeseg.training.validation.scoring import CaseScore, Rule

GOLDEN_SEED = 20261120
LEAST_WINDOW = 32
# What the Hub calls a licence that is none of its list, or that nobody has named.
LICENCE = "other"


@dataclass(frozen=True)
class ExportSettings:
    """What a model is told beside its weights.

    `window` of None takes the validation crop's longest edge. `threshold` of None takes the most
    probable class. `scaling` is folded into the weights. `sections` go into the card by heading.
    `decision`, what `strokeseg.training.scan_calibration` chose, goes before the others.
    `licence` is the weights', which their data and their maker decide.
    """

    name: str = "synth-open"
    window: int | None = None
    threshold: float | None = None
    min_volume_ml: float = 0.0
    min_peak: float = 0.0
    brain_mask: bool | None = None
    scaling: Scaling | None = None
    licence: str = LICENCE
    provenance: Mapping[str, Any] = field(default_factory=dict)
    sections: Mapping[str, str] = field(default_factory=dict)
    decision: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Exported:
    """What an export made: the folder, the weights' checksum, the registry's entry, the scores."""

    folder: Path
    sha256: str
    registry_entry: str
    scores: tuple[CaseScore, ...]
    parity: Parity | None


def export_model(
    checkpoint: Path,
    folder: Path,
    settings: ExportSettings,
    *,
    held_out: Sources | None = None,
    cases: int | None = None,
    engine: str = "auto",
) -> Exported:
    """Write a model folder from a checkpoint's averaged weights.

    Parameters
    ----------
    checkpoint
        What `strokeseg train` wrote.
    folder
        Gets config.json, model.safetensors, golden.json and README.md, and, where it was measured,
        validation.tsv and validation-cases.tsv.
    settings
        Name, window, decision.
    held_out
        What to measure on, `load_sources(config.data, held_out=True)`; nothing is measured
        without.
    cases
        How many validation cases; as the configuration says without.
    engine
        What computes: one of `strokeseg.engines`.

    Raises
    ------
    DataError
        The checkpoint cannot be read.
    UsageError
        The window is no multiple of the network's stride.
    CannotCreateError, ReadWriteError
        The folder cannot be written.
    """
    state = load_checkpoint(checkpoint)
    config = from_document(state.config)
    spec = network_spec(config)
    full = inference_weights(state.average, spec)
    if settings.scaling is not None:
        full = fold_scaling(full, settings.scaling)
    half = {name: np.ascontiguousarray(value, np.float16) for name, value in full.items()}
    document = model_document(state, config, settings)
    own = document["strokeseg"]
    opened = write_model(folder, half, document, engine)
    scores: tuple[CaseScore, ...] = ()
    parity = None
    if held_out is not None:
        rule = Rule(*(own[key] for key in ("threshold", "min_volume_ml", "brain_mask", "min_peak")))
        engines = (opened, _open(spec, full, engine))
        scores, parity = compare(engines, held_out, config, rule, cases)
        write_groups(folder / "validation.tsv", summarise(scores))
        write_cases(folder / "validation-cases.tsv", scores)
    facts = CardFacts(
        *(settings.name, settings.licence, own, own["training"]),
        credits=data_credits(config),
        groups=summarise(scores) if scores else (),
        parity=str(parity) if parity else "",
        sections=settings.sections,
    )
    write_atomically(folder / "README.md", [model_card(facts).encode()])
    digest = sha256(folder / WEIGHTS_FILE)
    return Exported(folder, digest, registry_entry(folder, settings, own), scores, parity)


def write_model(
    folder: Path, half: Mapping[str, AnyArray], document: Mapping[str, Any], engine: str
) -> Engine:
    """Write a model's folder, but for its card.

    Parameters
    ----------
    folder
        Gets config.json, model.safetensors and golden.json.
    half
        The tensors in half precision.
    document
        The content of config.json.
    engine
        What computes the golden record.

    Returns
    -------
    Engine
        The engine that computed it.

    Raises
    ------
    CannotCreateError, ReadWriteError
        The folder cannot be written.
    """
    spec = read_spec(document)
    stored = {name: value.astype(np.float32) for name, value in half.items()}
    # First, so that an engine that is not here leaves no half of a model behind.
    opened = _open(spec, stored, engine)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreateError(f"{folder}: cannot be created ({error.strerror})") from error
    write_atomically(folder / WEIGHTS_FILE, [save(dict(half), metadata={"format": "pt"})])
    _write_json(folder / CONFIG_FILE, document)
    _write_json(folder / GOLDEN_FILE, make_golden(opened.logits, spec, GOLDEN_SEED))
    return opened


def model_document(
    state: TrainState, config: TrainConfig, settings: ExportSettings
) -> dict[str, Any]:
    """Give the content of config.json: the published fields, and ours under `strokeseg`."""
    spec = network_spec(config)
    window = settings.window or max(config.validation.crop_vox)
    stride = max(spec.stride_product)
    if window < LEAST_WINDOW or window % stride:
        raise UsageError(f"window is {window}; give a multiple of the network's stride {stride}")
    names = [BACKGROUND, LESION] if config.lesion_only else list(CLASSES)
    brain_mask = not config.lesion_only if settings.brain_mask is None else settings.brain_mask
    training = training_facts(state.config, state.step, state.revision) | dict(settings.provenance)
    if settings.scaling is not None:
        training["scaling"] = asdict(settings.scaling)
    document = spec.to_config() | {
        "model_type": settings.name,
        "strokeseg": {
            "voxel_size_mm": config.data.voxel_size_mm,
            "window": window,
            "normalisation": config.intensity.normalisation,
            "class_names": names,
            "threshold": settings.threshold,
            "min_volume_ml": settings.min_volume_ml,
            "min_peak": settings.min_peak,
            "brain_mask": brain_mask,
            FIELD: None,
            **settings.decision,
            "training": training,
        },
    }
    ModelConfig.from_config(document)
    return document


def registry_entry(folder: Path, settings: ExportSettings, own: Mapping[str, Any]) -> str:
    """Give the entry for `weights/registry.toml`, with the checksums of what was written."""
    classes = ", ".join(json.dumps(name) for name in own["class_names"])
    return (
        f"[models.{settings.name}]\n"
        'summary = "Any contrast, trained on synthetic images"\n'
        f"folder = {json.dumps(folder.name)}\n"
        f'sha256 = "{sha256(folder / WEIGHTS_FILE)}"\n'
        f'config_sha256 = "{sha256(folder / CONFIG_FILE)}"\n'
        f"size_bytes = {(folder / WEIGHTS_FILE).stat().st_size}\n"
        f"licence = {json.dumps(settings.licence)}\n"
        f"classes = [{classes}]\n"
        'citation = "strokeseg; method of Chalcroft et al., MELBA 2025:014, '
        'https://arxiv.org/abs/2404.01946"\n'
    )


def _open(spec: Spec, state: Mapping[str, FloatArray], engine: str) -> Engine:
    return open_engine(spec, state, engine=engine, device="auto", threads=None, precision="fp32")


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    write_atomically(path, [(json.dumps(document, indent=2) + "\n").encode()])


def main(arguments: Sequence[str] | None = None) -> str:
    """Run `python -m strokeseg.training.export`."""
    parser = command_parser("export", __doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the model's folder")
    parser.add_argument("--name", default="synth-open")
    parser.add_argument("--licence", default=LICENCE, help="an SPDX name, as CC-BY-4.0")
    parser.add_argument("--window", type=int)
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--min-volume-ml", type=float, default=0.0)
    parser.add_argument("--min-peak", type=float, default=0.0)
    parser.add_argument("--brain-mask", action=argparse.BooleanOptionalAction)
    parser.add_argument("--scaling", type=Path, help="scaling.json of the calibration")
    parser.add_argument("--decision", type=Path, help="decision.json of the scan calibration")
    parser.add_argument("--cases", type=int, default=0, help="validation cases; 0 measures nothing")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--sections", type=Path, help="TOML: further parts of the card by heading")
    chosen = parser.parse_args(arguments)
    settings = ExportSettings(
        name=chosen.name,
        window=chosen.window,
        threshold=chosen.threshold,
        min_volume_ml=chosen.min_volume_ml,
        min_peak=chosen.min_peak,
        brain_mask=chosen.brain_mask,
        scaling=read_scaling(chosen.scaling) if chosen.scaling else None,
        sections=read_sections(chosen.sections) if chosen.sections else {},
        decision=read_json(chosen.decision) if chosen.decision else {},
        licence=chosen.licence,
    )
    held_out = None
    if chosen.cases:
        config = from_document(load_checkpoint(chosen.checkpoint).config)
        held_out = load_sources(config.data, held_out=True)
    cases = chosen.cases or None
    where = (chosen.checkpoint, chosen.output)
    made = export_model(*where, settings, held_out=held_out, cases=cases, engine=chosen.engine)
    return made.registry_entry


if __name__ == "__main__":
    run_command(main)
