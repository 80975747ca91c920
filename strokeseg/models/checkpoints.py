"""A model folder made of the checkpoints that a user has."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from strokeseg.engines.choice import open_engine
from strokeseg.errors import UsageError
from strokeseg.files.checksums import sha256
from strokeseg.models.conversion import convert
from strokeseg.models.folder import CONFIG_FILE, read_config, read_model_folder
from strokeseg.models.golden import EDGE_VOX, GOLDEN_FILE, make_golden
from strokeseg.models.registry import Registry
from strokeseg.models.store import whole_folder
from strokeseg.network.mesh_spec import ARCHITECTURE

USUAL = "meshnet-arc-t2"
GOLDEN_SEED = 20261130


def convert_checkpoints(
    files: Sequence[Path],
    document: dict[str, Any],
    target: Path,
    *,
    overwrite: bool = False,
) -> Path:
    """Make a model folder of torch checkpoints: config, weights, card and golden record.

    Parameters
    ----------
    files
        One for each network that is to be averaged.
    document
        The content of config.json; see `checkpoint_document`.
    target
        The folder; it appears whole or not at all.
    overwrite
        Replace what is there.

    Raises
    ------
    WeightsUnavailableError
        torch is not installed.
    ModelFormatError
        A checkpoint cannot be read as tensors alone, or is of another network.
    CannotCreateError
        The folder is there already, or cannot be created.
    """
    made = convert("torch", files, document, target.name)
    with whole_folder(target, overwrite=overwrite) as partial:
        for name, content in made.items():
            (partial / name).write_bytes(content)
        (partial / CONFIG_FILE).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        (partial / "README.md").write_text(_card(target.name, files), encoding="utf-8")
        model = read_model_folder(partial, name=target.name)
        spec = model.config.spec
        edge = EDGE_VOX // 2
        golden = make_golden(
            open_engine(spec, model.state).logits, spec, GOLDEN_SEED, edge_vox=edge
        )
        (partial / GOLDEN_FILE).write_text(json.dumps(golden, indent=2) + "\n", encoding="utf-8")
    return target


def checkpoint_document(
    kind: str, config_file: Path | None, count: int, registry: Registry
) -> dict[str, Any]:
    """Give the content of config.json for checkpoints of a kind.

    Parameters
    ----------
    kind
        ``meshnet``, which is built and prepared as ``meshnet-arc-t2`` is, or another name of the
        registry whose config is at hand.
    config_file
        A config.json to take instead; its weights' kind is then its own.
    count
        Checkpoints that there are: the network's members.
    registry
        Where names are looked up.

    Raises
    ------
    UsageError
        There is no such kind.
    ModelFormatError
        The config cannot be read.
    """
    if config_file is not None:
        return read_config(config_file.parent, config_file.name) | {"members": count}
    entry = registry.entries.get(USUAL if kind == ARCHITECTURE else kind)
    if entry is None or entry.config_folder is None:
        raise UsageError(f"--as {kind}: give {ARCHITECTURE}, or a config.json with --config")
    document = read_config(entry.config_folder) | {"members": count}
    if kind == ARCHITECTURE:
        document["strokeseg"].pop("training", None)
        document["model_type"] = kind
    return document


def _card(name: str, files: Sequence[Path]) -> str:
    lines = "".join(f"- `{file.name}`, sha256 `{sha256(file)}`\n" for file in files)
    said = "Converted by strokeseg from torch checkpoints, their tensors alone:"
    return f"# {name}\n\n{said}\n\n{lines}"
