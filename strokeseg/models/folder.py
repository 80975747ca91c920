"""A model as a folder: config.json, model.safetensors, and perhaps README.md and golden.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strokeseg.arrays import FloatArray
from strokeseg.errors import (
    InputNotFoundError,
    ModelFormatError,
    ReadWriteError,
    WeightsUnavailableError,
)
from strokeseg.files.checksums import sha256
from strokeseg.models.config import NOTHING, ModelConfig, Unsaid
from strokeseg.models.second_stage import FIELD, SecondStage
from strokeseg.models.tensors import (
    PICKLE_SUFFIXES,
    SECOND_FILE,
    WEIGHTS_FILE,
    read_tensors,
    starts_as_pickle,
)
from strokeseg.network.state import check_state, strip_prefix
from strokeseg.network.turning import turned_to_ras

CONFIG_FILE = "config.json"
REQUIRED_FILES = (CONFIG_FILE, WEIGHTS_FILE)
OPTIONAL_FILES = ("README.md", "golden.json", SECOND_FILE)

_MAX_CONFIG_BYTES = 1_000_000


@dataclass(frozen=True, eq=False)
class Model:
    """A model in memory.

    Attributes
    ----------
    name
        The name that it was asked for by.
    folder
        Where its files lie.
    config
        What its config says.
    state
        Tensors by the names of the network's spec, float32, without prefix, turned to RAS.
    sha256
        Of model.safetensors, in hexadecimal.
    revision
        Commit on the Hub, or None.
    second_state
        Tensors of the second stage's network; empty where there is none.
    """

    name: str
    folder: Path
    config: ModelConfig
    state: Mapping[str, FloatArray] = field(repr=False)
    sha256: str
    revision: str | None = None
    second_state: Mapping[str, FloatArray] = field(default_factory=dict, repr=False)


def read_model_folder(
    folder: Path,
    *,
    name: str,
    unsaid: Unsaid = NOTHING,
    checksums: Mapping[str, str] | None = None,
    revision: str | None = None,
    remedy: str = "fetch it again",
) -> Model:
    """Read a model, and check it against its checksums and its config.

    Parameters
    ----------
    folder
        Holds config.json and model.safetensors.
    name
        The name to give it.
    unsaid
        What to take where the config is silent.
    checksums
        Expected sha256 by file name; files that are not named are not checked.
    revision
        Commit on the Hub, where it came from there.
    remedy
        What to do about a file that is not the expected one.

    Raises
    ------
    InputNotFoundError
        There is no such folder.
    ModelFormatError
        A file is missing, damaged, a pickle, or the tensors do not fit the config.
    WeightsUnavailableError
        A file is not the one that is expected.
    """
    require_model_files(folder)
    digest = check_files(folder, checksums or {}, remedy=remedy)
    try:
        config = ModelConfig.from_config(read_config(folder), unsaid)
        state = strip_prefix(read_tensors(folder / WEIGHTS_FILE))
        check_state(config.spec, state)
        if config.axes != "RAS":
            state = turned_to_ras(state, config.axes)
        second = _second_state(folder, config.second, remedy)
    except ModelFormatError as error:
        if str(folder) in str(error):
            raise
        raise ModelFormatError(f"{folder}: {error}") from error
    return Model(name, folder, config, state, digest, revision, second)


def names_second_stage(folder: Path) -> bool:
    """Tell whether a folder's config names a second stage, whatever it says of it.

    Raises
    ------
    ModelFormatError, ReadWriteError
        The config cannot be read.
    """
    own = read_config(folder).get("strokeseg")
    return isinstance(own, dict) and bool(own.get(FIELD))


def _second_state(folder: Path, second: SecondStage | None, remedy: str) -> dict[str, FloatArray]:
    """Read the tensors of a second stage, which its config knows by their sha256."""
    if second is None:
        return {}
    if not (folder / SECOND_FILE).is_file():
        raise ModelFormatError(
            f"{folder}: has no {SECOND_FILE}, and its {CONFIG_FILE} names a second stage; {remedy}"
        )
    _check_file(folder / SECOND_FILE, second.sha256, remedy)
    state = strip_prefix(read_tensors(folder / SECOND_FILE))
    try:
        check_state(second.spec, state)
    except ModelFormatError as error:
        raise ModelFormatError(f"{folder / SECOND_FILE}: {error}") from error
    return state


def require_model_files(folder: Path) -> None:
    """Check that a folder has the files of a model, without opening any.

    Raises
    ------
    InputNotFoundError
        There is no such folder.
    ModelFormatError
        It is a file, or a required file is missing.
    """
    if folder.is_file():
        if is_pickle(folder.name):
            raise ModelFormatError(f"{folder}: is {_what_it_is(folder)}")
        raise ModelFormatError(f"{folder}: is a file; give the folder of the model")
    if not folder.is_dir():
        raise InputNotFoundError(f"{folder}: there is no such model folder")
    if not (folder / WEIGHTS_FILE).is_file():
        others = [item for item in sorted(folder.iterdir()) if is_pickle(item.name)]
        if others:
            raise ModelFormatError(f"{folder}: holds {others[0].name}, {_what_it_is(others[0])}")
        raise ModelFormatError(f"{folder}: has no {WEIGHTS_FILE}; it is not a model folder")
    if not (folder / CONFIG_FILE).is_file():
        raise ModelFormatError(
            f"{folder}: has no {CONFIG_FILE}, which says what network the weights belong to"
        )


def is_pickle(filename: str) -> bool:
    """Tell by its name whether a file is likely a pickle."""
    return Path(filename).suffix.lower() in PICKLE_SUFFIXES


def _what_it_is(file: Path) -> str:
    """Say by its first bytes what weights are that are no safetensors, and what to do."""
    try:
        with file.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise ReadWriteError(f"{file}: cannot be read ({error.strerror or error})") from error
    if starts_as_pickle(start):
        return (
            "a pickle, which can run code and is never read; for a MeshNet run `strokeseg weights "
            f"convert`, else save the weights as {WEIGHTS_FILE}"
        )
    if file.with_name("model.json").is_file() and file.suffix.lower() == ".bin":
        return (
            "bare numbers that model.json describes, as TensorFlow.js and brainchop keep them, "
            f"which cannot be imported; `strokeseg weights download mindgrab` makes {WEIGHTS_FILE} "
            "of those of MindGrab"
        )
    return f"no safetensors; save the weights as {WEIGHTS_FILE}"


def check_files(
    folder: Path, checksums: Mapping[str, str], *, remedy: str = "fetch it again"
) -> str:
    """Compare a folder's files with the expected sha256.

    Returns
    -------
    str
        sha256 of model.safetensors.

    Raises
    ------
    WeightsUnavailableError
        A file differs; both checksums are named.
    """
    digest = sha256(folder / WEIGHTS_FILE)
    for filename, expected in checksums.items():
        found = digest if filename == WEIGHTS_FILE else None
        _check_file(folder / filename, expected, remedy, found)
    return digest


def _check_file(path: Path, expected: str, remedy: str, known: str | None = None) -> None:
    found = known or sha256(path)
    if found != expected:
        raise WeightsUnavailableError(
            f"{path}: sha256 is {found}, expected {expected}; the file is damaged or another "
            f"model's: {remedy}"
        )


def read_config(folder: Path, name: str = CONFIG_FILE) -> dict[str, Any]:
    """Read config.json, or a file of another name, as a dictionary.

    Raises
    ------
    ModelFormatError
        It is over 1 MB, no JSON, or no JSON object.
    ReadWriteError
        The file system failed.
    """
    path = folder / name
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            raise ModelFormatError(f"{path}: is over 1 MB, which no config is")
        config = json.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ReadWriteError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{path}: is no valid JSON ({error}); fetch it again") from error
    if not isinstance(config, dict):
        raise ModelFormatError(f"{path}: is no JSON object; fetch it again")
    return config
