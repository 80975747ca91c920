"""Configurations of training, read from TOML; unknown keys and impossible values are refused."""

import os
import reprlib
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from strokeseg.errors import CannotCreateError, InputNotFoundError, UsageError
from strokeseg.files.atomic import write_text
from strokeseg.training.config_checks import check, leaves
from strokeseg.training.settings import MODEL, TrainConfig

# How the bundled configurations name a folder of data beside the checkout, and earlier runs in it.
_DATA, _RUNS, _SMOKE = "../../../shared/data/", "../../runs/", "../smoke/"

# Far beyond any setting, and within what floats and 64-bit integers hold.
_LARGEST = 1e18


def bundled_configs() -> tuple[str, ...]:
    """Name the configurations that come with the package."""
    folder = resources.files("strokeseg.training").joinpath("configs")
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def read_config(source: Path | str) -> TrainConfig:
    """Read a configuration; its paths become absolute, relative ones from its own folder.

    Parameters
    ----------
    source
        A TOML file, or the name of a bundled configuration.

    Raises
    ------
    InputNotFoundError
        It is neither.
    UsageError
        It is not TOML, has a key that no dataclass has, or a value that is of another type or
        makes no sense.
    """
    name = str(source)
    path = _bundled(name) if name in bundled_configs() else Path(source)
    document = read_document(path, name, bundled_configs())
    config = typing.cast(TrainConfig, build_section(TrainConfig, document, name))
    check(config, name)
    return located(config, path.parent)


def read_document(path: Path, name: str, bundled: tuple[str, ...]) -> dict[str, Any]:
    """Read a TOML file; `name` is what its user calls it, `bundled` what could be named instead."""
    text = _read_file(path, bundled)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name}: not TOML: {error}") from error


def located(config: TrainConfig, folder: Path) -> TrainConfig:
    """Make the paths of a configuration absolute; relative ones count from a folder."""

    def absolute(path: str) -> str:
        # Not Path.resolve(): a link to a folder stays what its owner calls it.
        return os.path.abspath(folder / path) if path else ""  # noqa: PTH100

    data, start = config.data, config.start_from
    return replace(
        config,
        start_from=start if start.startswith(MODEL) else absolute(start),
        data=replace(
            data,
            label_maps=absolute(data.label_maps),
            label_table=absolute(data.label_table),
            contrast_table=absolute(data.contrast_table),
            soft_maps=absolute(data.soft_maps),
            pairs=absolute(data.pairs),
            slices=absolute(data.slices),
            scans=absolute(data.scans),
            lesions=tuple(map(absolute, data.lesions)),
            translators=tuple(map(absolute, data.translators)),
        ),
    )


def copy_config(name: str, path: Path) -> None:
    """Copy a bundled configuration; the copy looks for `data` and `runs` beside itself.

    Raises
    ------
    UsageError
        There is no bundled configuration of this name.
    CannotCreateError
        The file is there already, or cannot be written.
    """
    if name not in bundled_configs():
        raise UsageError(f"--copy copies a bundled configuration: {', '.join(bundled_configs())}")
    if path.exists():
        raise CannotCreateError(f"{path} is there already; name another file")
    source = _bundled(name)
    text = source.read_text(encoding="utf-8").replace(_DATA, "data/").replace(_RUNS, "runs/")
    smoke = (source.parent.parent / "smoke").as_posix()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreateError(f"{path}: cannot be created ({error.strerror})") from error
    write_text(path, text.replace(_SMOKE, f"{smoke}/"))


def _bundled(name: str) -> Path:
    return Path(str(resources.files("strokeseg.training"))) / "configs" / f"{name}.toml"


def _read_file(path: Path, bundled: tuple[str, ...]) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except ValueError as error:  # bytes that are no text, or a name that no file can have
        raise UsageError(f"{path}: not a text file; give a TOML configuration") from error
    except OSError as error:
        raise InputNotFoundError(
            f"{path}: cannot be read ({error.strerror}); give a TOML file or one of "
            f"{', '.join(bundled)}"
        ) from error


def as_document(config: TrainConfig) -> dict[str, Any]:
    """Give a configuration as plain values, for checkpoints and records."""
    return asdict(config)


def changed_keys(before: Mapping[str, Any], after: TrainConfig) -> tuple[str, ...]:
    """Name the settings in which a configuration differs from a checkpoint's, old to new.

    Parameters
    ----------
    before
        The checkpoint's, as plain values.
    after
        The one to go on with.
    """
    old, new = (dict(leaves(config)) for config in (from_document(dict(before)), after))
    return tuple(
        f"{key} {reprlib.repr(old[key])} to {reprlib.repr(value)}"
        for key, value in new.items()
        if old[key] != value
    )


def from_document(document: dict[str, Any]) -> TrainConfig:
    """Build a configuration from plain values (a checkpoint's)."""
    return typing.cast(TrainConfig, build_section(TrainConfig, document, "configuration"))


def build_section(cls: type, document: dict[str, Any], where: str) -> object:
    """Build a dataclass from a table, section by section; what it does not know is refused."""
    hints = typing.get_type_hints(cls)
    known = {f.name for f in fields(cls)}
    unknown = sorted(set(document) - known)
    if unknown:
        raise UsageError(
            f"{where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}"
        )
    values = {}
    for key, value in document.items():
        kind = hints[key]
        if is_dataclass(kind):
            if not isinstance(value, dict):
                raise UsageError(f"{where}: {key} must be a table, got {reprlib.repr(value)}")
            values[key] = build_section(typing.cast(type, kind), value, f"{where} [{key}]")
        else:
            values[key] = _plain(kind, value, f"{where}: {key}")
    return cls(**values)


def _plain(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - a TOML value
    """Check one value against its annotation; lists become tuples, integers floats."""
    if typing.get_origin(kind) is tuple:
        arguments = typing.get_args(kind)
        if not isinstance(value, list | tuple):
            raise UsageError(f"{where}: expected a list, got {reprlib.repr(value)}")
        if arguments[-1] is not Ellipsis and len(arguments) != len(value):
            raise UsageError(f"{where}: expected {len(arguments)} values, got {len(value)}")
        return tuple(_plain(arguments[0], item, where) for item in value)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) <= _LARGEST:
            raise UsageError(f"{where}: expected a number, got {reprlib.repr(value)}")
        return float(value)
    wrong = isinstance(kind, types.UnionType) or not isinstance(value, kind)
    if wrong or (kind is not bool and isinstance(value, bool)):
        raise UsageError(f"{where}: expected {kind.__name__}, got {reprlib.repr(value)}")
    if kind is int and abs(value) > _LARGEST:
        raise UsageError(f"{where}: {reprlib.repr(value)} is out of range")
    return value
