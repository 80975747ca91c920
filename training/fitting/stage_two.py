"""Train a second stage, and leave a model of both."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save

from strokeseg._version import __version__
from strokeseg.arrays import FloatArray
from strokeseg.engines.choice import open_engine
from strokeseg.errors import CannotCreateError
from strokeseg.files.atomic import write_atomically, write_text
from strokeseg.files.json_files import read_json
from strokeseg.models.folder import CONFIG_FILE, Model, read_config, read_model_folder
from strokeseg.models.golden import GOLDEN_FILE, SECOND, make_golden
from strokeseg.models.loading import Hardware, LoadedModel, load_model
from strokeseg.models.second_stage import FIELD, SecondStage
from strokeseg.models.tensors import SECOND_FILE, WEIGHTS_FILE
from strokeseg.models.volume_interval import FIELD as INTERVAL
from strokeseg.network.half_spec import HalfSpec
from strokeseg.training.data.sources import Sources, load_sources
from strokeseg.training.fitting.loop import Session
from strokeseg.training.fitting.stage_two_task import StageTwoTask, stage_spec
from strokeseg.training.fitting.task import fit
from strokeseg.training.stage_two.samples import PARTS, StageSamples
from strokeseg.training.stage_two.settings import StageTwoConfig, as_plain, samples_config

MODEL_FOLDER = "model"
_GOLDEN_SEED = 20261201


def train_stage_two(
    config: StageTwoConfig, folder: Path, session: Session, *, resume: bool = False
) -> Path:
    """Train to the configured number of steps or to the time limit.

    Parameters
    ----------
    config
        The run.
    folder
        Gets `last.pt`, `loss.tsv` and `model`, a folder of both stages that `--model` takes.
    session
        Time limit, and who hears of steps.
    resume
        Go on from the folder's last checkpoint; start anew where there is none.

    Returns
    -------
    Path
        The model's folder.

    Raises
    ------
    StrokesegError
        The first stage cannot be had; see `load_sources` and `fitting.task.fit`.
    """
    torch.manual_seed(config.seed)
    first = load_model(config.first, Hardware(threads=1), stages=1)
    run = samples_config(config)

    def sources() -> Sources:
        return load_sources(run.data, families=run.contrast.families)

    classes = first.model.config.spec.out_channels
    task = StageTwoTask(config, StageSamples(config, run, sources, first), classes)
    average = fit(task, config.fit, as_plain(config), folder, session, resume=resume)
    state = {name: tensor.numpy() for name, tensor in average.items()}
    return write_two_stages(folder / MODEL_FOLDER, first, config, state)


def write_two_stages(
    folder: Path, first: LoadedModel, config: StageTwoConfig, state: Mapping[str, FloatArray]
) -> Path:
    """Write a model of a first stage, as it is, and a second one, in half precision.

    The volume interval of the first does not hold for both, and is left out; the threshold becomes
    the one that the second was trained for.

    Raises
    ------
    CannotCreateError, ReadWriteError
        The folder cannot be written.
    """
    model, spec = first.model, stage_spec(config, first.model.config.spec.out_channels)
    half = {name: np.ascontiguousarray(value, np.float16) for name, value in state.items()}
    weights = save(half)
    second = SecondStage(
        spec,
        hashlib.sha256(weights).hexdigest(),
        parts=PARTS,
        channels=config.network.sees,  # type: ignore[arg-type]
        voxel_size_mm=config.voxel_size_mm,
        crop=config.crops.edge_vox,
        threshold=config.crops.threshold,
        normalisation=model.config.normalisation,
        corrects=config.network.corrects,
        provenance={"strokeseg": __version__, **as_plain(config)},
    )
    document = read_config(model.folder)
    own = {**document.get("strokeseg", {}), FIELD: [second.to_config()], INTERVAL: None}
    own["threshold"] = config.objective.decide_at
    # The second network has learnt from what the first says by itself.
    own.pop("lesion_offsets", None)
    own.setdefault("class_names", list(model.config.class_names))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreateError(f"{folder}: cannot be created ({error.strerror})") from error
    shutil.copyfile(model.folder / WEIGHTS_FILE, folder / WEIGHTS_FILE)
    write_atomically(folder / SECOND_FILE, [weights])
    _write_json(folder / CONFIG_FILE, {**document, "strokeseg": own})
    _write_json(folder / GOLDEN_FILE, {**_golden_of(model), SECOND: _golden(spec, half)})
    write_text(folder / "README.md", _card(model, config))
    read_model_folder(folder, name=folder.name)
    return folder


def _golden_of(model: Model) -> dict[str, Any]:
    path = model.folder / GOLDEN_FILE
    return dict(read_json(path)) if path.is_file() else {}


def _golden(spec: HalfSpec, half: Mapping[str, Any]) -> dict[str, Any]:
    stored = {name: value.astype(np.float32) for name, value in half.items()}
    engine = open_engine(spec, stored, device="cpu", threads=1)
    return make_golden(engine.logits, spec, _GOLDEN_SEED)


def _card(model: Model, config: StageTwoConfig) -> str:
    return (
        f"# {config.name}\n\nTwo stages: the first is {model.name} (sha256 of its weights "
        f"{model.sha256}), whose card holds for it; the second was trained by `strokeseg "
        f"train-stage-two` and tells {' and '.join(PARTS)} of a lesion. Nothing of both together "
        "was measured yet: `python -m strokeseg.training.stage_comparison` does.\n"
    )


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    write_atomically(path, [(json.dumps(document, indent=2) + "\n").encode()])
