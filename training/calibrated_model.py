"""A model to calibrate: a model's folder as it is, or a checkpoint, its logits scaled first."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from strokeseg.arrays import FloatArray
from strokeseg.engines.base import Engine
from strokeseg.engines.choice import open_engine
from strokeseg.errors import DataError, InputNotFoundError, UsageError
from strokeseg.files.atomic import write_atomically
from strokeseg.files.checksums import sha256
from strokeseg.models.config import ModelConfig
from strokeseg.models.folder import CONFIG_FILE, Model
from strokeseg.models.loading import Hardware, LoadedModel, load_model
from strokeseg.models.volume_interval import FIELD
from strokeseg.training.command_line import command_parser
from strokeseg.training.config import from_document, read_config
from strokeseg.training.data.sources import Sources, load_sources
from strokeseg.training.export import ExportSettings, model_document
from strokeseg.training.fitting.checkpoint import load_checkpoint
from strokeseg.training.fitting.run import inference_weights, network_spec
from strokeseg.training.settings import TrainConfig
from strokeseg.training.validation.scaling import Scaling, fit_scaling, write_scaling
from strokeseg.training.validation.scoring import over_flips

DATA = Path("../shared/data")


@dataclass(frozen=True, eq=False)
class CalibratedModel:
    """A model as inference has it, and the held-out heads and lesions to judge it by."""

    loaded: LoadedModel
    config: TrainConfig
    sources: Sources


class ScaledEngine:
    """An engine whose logits are scaled class by class; it goes through scans window by window."""

    def __init__(self, engine: Engine, scaling: Scaling) -> None:
        self._engine = engine
        self._factor, self._bias = (
            np.asarray(values, np.float32).reshape(-1, 1, 1, 1)
            for values in (scaling.factor, scaling.bias)
        )
        self.name, self.device = engine.name, engine.device
        self.precision, self.classes = engine.precision, engine.classes

    def logits(self, patch: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Run the network on one window; see `strokeseg.engines.base.Engine`."""
        found = self._engine.logits(patch, out)
        found *= self._factor
        found += self._bias
        return found

    def release(self) -> None:
        """Give back what windows took of memory."""
        self._engine.release()


def calibration_parser(name: str, about: str | None) -> argparse.ArgumentParser:
    """Give a parser with what every calibration of a model on validation scans is told.

    Parameters
    ----------
    name, about
        The command's module, and its docstring.
    """
    parser = command_parser(name, about)
    parser.add_argument("model", help="a model's folder or name, or a checkpoint")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a folder")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of real scans")
    parser.add_argument("--config", default="synth-open", help="heads, for a model's folder")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--write", action="store_true", help="into the model folder's config.json")
    return parser


def check_given(model: str, data: Path, *, write: bool) -> None:
    """Check, before hours of work, that what was given is there and can be written to.

    The usual folder of real scans may be missing: then those of the configuration are all.

    Raises
    ------
    UsageError
        With `write`, the model is no folder: a name, or a checkpoint.
    InputNotFoundError
        There is no folder `data`.
    """
    if data != DATA and not data.is_dir():
        raise InputNotFoundError(f"{data}: no folder of real scans; name one with --data")
    if write and not (Path(model) / CONFIG_FILE).is_file():
        raise UsageError(f"--write needs the path of a model's folder, and {model} is none")


def open_calibrated(
    model: str, config: str, output: Path, engine: str = "auto", threads: int | None = None
) -> CalibratedModel:
    """Open a model's folder or name, or a checkpoint.

    Parameters
    ----------
    model
        Which.
    config
        The configuration that names the held-out heads, for a model that carries none.
    output
        A folder, where a checkpoint's scaling is written.
    engine, threads
        What computes.
    """
    hardware = Hardware(engine=engine, threads=threads)
    if not Path(model).is_file():
        run = read_config(config)
        return CalibratedModel(
            load_model(model, hardware), run, load_sources(run.data, held_out=True)
        )
    path = Path(model)
    state = load_checkpoint(path)
    run = from_document(state.config)
    held_out = load_sources(run.data, held_out=True)
    spec = network_spec(run)
    weights = inference_weights(state.average, spec)
    opened = open_engine(spec, weights, engine=engine, threads=threads)
    scaling = fit_scaling(over_flips(opened.logits), held_out, run)
    output.mkdir(parents=True, exist_ok=True)
    write_scaling(scaling, output / "scaling.json")
    document = model_document(state, run, ExportSettings())
    known = Model(path.stem, path.parent, ModelConfig.from_config(document), weights, sha256(path))
    loaded = LoadedModel(known, ScaledEngine(opened, scaling), threads)
    return CalibratedModel(loaded, run, held_out)


def write_decision(folder: Path, settings: dict[str, Any]) -> None:
    """Write how to decide into a model folder's config.json; the rest stays.

    An interval of volumes that is not among the settings goes: it was that of another rule.

    Raises
    ------
    DataError
        The folder has no config.json that can be read.
    """
    path = folder / CONFIG_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        document["strokeseg"] |= {FIELD: None} | settings
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no model's config can be read from it ({error})") from error
    training = document["strokeseg"].pop("training", {})
    document["strokeseg"]["training"] = training
    ModelConfig.from_config(document)
    write_atomically(path, [(json.dumps(document, indent=2) + "\n").encode()])
