"""Two or more models made one: an ensemble of their networks, in a model folder of its own.

``python -m strokeseg.training.join weights/unet weights/planes -o weights/both --shares 3 1``
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from strokeseg.arrays import AnyArray, FloatArray
from strokeseg.errors import StrokesegError, UsageError
from strokeseg.files.atomic import write_atomically
from strokeseg.files.checksums import sha256
from strokeseg.files.json_files import read_json
from strokeseg.models.config import ModelConfig
from strokeseg.models.finding import load_model_files
from strokeseg.models.folder import Model, read_config
from strokeseg.models.tensors import WEIGHTS_FILE
from strokeseg.models.volume_interval import FIELD as INTERVAL
from strokeseg.network.ensemble_spec import EnsembleSpec, network_prefixes
from strokeseg.network.kinds import SingleSpec
from strokeseg.training.command_line import command_parser, run_command
from strokeseg.training.export import (
    LICENCE,
    Exported,
    ExportSettings,
    registry_entry,
    write_model,
)
from strokeseg.training.model_card import CardFacts, model_card, read_sections
from strokeseg.training.validation.scaling import Scaling, fold_scaling, read_scaling

# What a scan goes through before the network sees it, and what the answer means.
ALIKE = (
    *("class_names", "voxel_size_mm", "normalisation", "quantiles", "padding", "axes"),
    *("least_size", "field_of_view", "finds"),
)
# What a card tells, and a published model's config leaves out.
TOLD = (
    *("voxel_size_mm", "normalisation", "threshold", "min_volume_ml", "min_peak", "brain_mask"),
)
_HALF_LARGEST = float(np.finfo(np.float16).max)


def join_models(
    models: Sequence[Model],
    folder: Path,
    settings: ExportSettings,
    *,
    shares: Sequence[float] | None = None,
    engine: str = "auto",
) -> Exported:
    """Write a model folder whose network averages the logits of several models' networks.

    What decides (threshold, volumes, flips) is the first model's unless told: calibrate anew.

    Parameters
    ----------
    models
        At least two of one network each, which see a scan alike and tell the same classes.
    folder
        Gets config.json, model.safetensors in half precision, golden.json and README.md.
    settings
        Name, window (without: the first model's, or the next that suits every network), licence,
        sections of the card, a scaling of the mean, and a decision in place of the first model's.
    shares
        How much each model counts, carried by its last convolution; without, all alike.
    engine
        What computes the golden record.

    Raises
    ------
    UsageError
        The models do not fit together.
    CannotCreateError, ReadWriteError
        The folder cannot be written.
    """
    spec = EnsembleSpec(_networks(models))
    states = [model.state for model in models]
    if shares is not None:
        states = _by_shares(states, shares, spec.out_channels)
    full = {
        prefix + name: tensor
        for prefix, state in zip(network_prefixes(spec), states, strict=True)
        for name, tensor in state.items()
    }
    if settings.scaling is not None:
        full = fold_scaling(full, settings.scaling)
    half = {name: _halved(name, tensor) for name, tensor in full.items()}
    document = _document(spec, models, settings)
    write_model(folder, half, document, engine)
    own = document["strokeseg"]
    training = {"mean of the logits of": [model.name for model in models]}
    facts = CardFacts(
        *(settings.name, settings.licence, own, training | dict(settings.provenance)),
        credits="- Those of the models that it is the mean of; see their cards.",
        sections=settings.sections,
    )
    write_atomically(folder / "README.md", [model_card(facts).encode()])
    digest = sha256(folder / WEIGHTS_FILE)
    return Exported(folder, digest, registry_entry(folder, settings, own), (), None)


def _networks(models: Sequence[Model]) -> tuple[SingleSpec, ...]:
    """Give the networks of models that fit together."""
    if len(models) < 2:
        raise UsageError("one model is no ensemble; name at least two")
    first, networks = models[0], []
    for model in models:
        spec = model.config.spec
        if isinstance(spec, EnsembleSpec) or model.config.second is not None:
            what = "an ensemble itself" if isinstance(spec, EnsembleSpec) else "of two stages"
            raise UsageError(f"{model.name}: is {what}; join models of one network each")
        for field in ALIKE:
            wanted, found = getattr(first.config, field), getattr(model.config, field)
            if found != wanted:
                raise UsageError(
                    f"{model.name}: its {field} is {found}, that of {first.name} {wanted}; only "
                    "models that see a scan alike can be joined"
                )
        networks.append(spec)
    return tuple(networks)


def _by_shares(
    states: Sequence[Mapping[str, FloatArray]], shares: Sequence[float], classes: int
) -> list[Mapping[str, FloatArray]]:
    """Scale the logits of each network, so that their plain mean is the weighted one."""
    if len(shares) != len(states) or min(shares) <= 0:
        raise UsageError(f"--shares: give {len(states)} numbers above 0, one for each model")
    factors = [share * len(shares) / sum(shares) for share in shares]
    scalings = [Scaling((factor,) * classes, (0.0,) * classes) for factor in factors]
    return [fold_scaling(*pair) for pair in zip(states, scalings, strict=True)]


def _halved(name: str, tensor: FloatArray) -> AnyArray:
    if np.abs(tensor).max(initial=0.0) > _HALF_LARGEST:
        raise UsageError(f"the tensor {name} is too large for half precision")
    return np.ascontiguousarray(tensor, np.float16)


def _document(
    spec: EnsembleSpec, models: Sequence[Model], settings: ExportSettings
) -> dict[str, Any]:
    """Give the content of config.json: the first model's settings over all networks."""
    first = models[0]
    own: Mapping[str, Any] = read_config(first.folder).get("strokeseg", {})
    training = {"networks": [dict(model.config.provenance) for model in models]}
    document = spec.to_config() | {
        "model_type": settings.name,
        "strokeseg": {
            # Kernels of other axes were turned when they were read.
            **{key: value for key, value in own.items() if key != "axes"},
            **{name: getattr(first.config, name) for name in TOLD},
            "class_names": list(first.config.class_names),
            "window": _window(spec, settings.window, first.config.window),
            **settings.decision,
            INTERVAL: None,
            "training": training | dict(settings.provenance),
        },
    }
    try:
        ModelConfig.from_config(document)
    except StrokesegError as error:
        raise UsageError(f"the models cannot be joined: {error}") from error
    return document


def _window(spec: EnsembleSpec, wished: int | None, default: int) -> int:
    stride = max(spec.stride_product)
    window = wished or -(-default // stride) * stride
    if window % stride:
        raise UsageError(f"window is {window}; give a multiple of the networks' stride {stride}")
    return window


def main(arguments: Sequence[str] | None = None) -> str:
    """Run `python -m strokeseg.training.join`."""
    parser = command_parser("join", __doc__)
    parser.add_argument("models", nargs="+", help="folders or names of models")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the ensemble's folder")
    parser.add_argument("--name", default="synth-open")
    parser.add_argument("--licence", default=LICENCE, help="an SPDX name, as CC-BY-4.0")
    parser.add_argument("--window", type=int)
    parser.add_argument("--shares", type=float, nargs="+", help="how much each counts, as 3 1")
    parser.add_argument("--scaling", type=Path, help="scaling.json, of the mean of the logits")
    parser.add_argument("--decision", type=Path, help="decision.json of the scan calibration")
    parser.add_argument("--sections", type=Path, help="TOML: further parts of the card by heading")
    parser.add_argument("--engine", default="auto")
    chosen = parser.parse_args(arguments)
    models = [load_model_files(name) for name in chosen.models]
    settings = ExportSettings(
        chosen.name,
        chosen.window,
        scaling=read_scaling(chosen.scaling) if chosen.scaling else None,
        sections=read_sections(chosen.sections) if chosen.sections else {},
        decision=read_json(chosen.decision) if chosen.decision else {},
        licence=chosen.licence,
    )
    where = (models, chosen.output, settings)
    made = join_models(*where, shares=chosen.shares, engine=chosen.engine)
    return made.registry_entry


if __name__ == "__main__":
    run_command(main)
