"""Which label of a label map is which class, and what tissue: read from a TOML table."""

import reprlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from strokeseg.errors import InputNotFoundError, UsageError
from strokeseg.models.classes import CLASSES

# All but the lesion, which is no label of a healthy head.
TISSUES = CLASSES[:-1]
LESION = len(TISSUES)

_MOST_CLASSES = 255
_MOST_MM = 1000.0
_MALFORMED = (KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError)


@dataclass(frozen=True)
class AgeingClasses:
    """Class indices: the ventricle and what yields to it, white matter and its hyperintensity."""

    ventricle: int
    yields: tuple[int, ...]
    white_matter: int
    hyperintensity: int


@dataclass(frozen=True)
class LabelTable:
    """Which label belongs to which generation class, and what tissue each class is.

    `class_names` is in order of class index; `tissue_of_class` gives an index into `TISSUES`.
    Without `ageing` heads stay as old as they are.
    """

    class_names: tuple[str, ...]
    tissue_of_class: tuple[int, ...]
    class_of_label: Mapping[int, int]
    grey: tuple[int, ...]
    white: tuple[int, ...]
    border: int
    sigma_mm: float
    landmarks_mm: Mapping[int, tuple[float, float, float]]
    ageing: AgeingClasses | None = None


def read_table(path: Path | str | None = None) -> LabelTable:
    """Read a label table from TOML: a file, or a bundled one by name ("freesurfer", "muse").

    Without `path` it is that of FreeSurfer and SynthSeg.

    Raises
    ------
    UsageError
        It is not TOML, lacks a part, or names an unknown tissue or class.
    InputNotFoundError
        There is no such file.
    """
    bundled = resources.files("strokeseg.training").joinpath("tables")
    if isinstance(path, Path):
        source: Traversable = path
    else:
        source = bundled.joinpath(f"{path or 'freesurfer'}.toml")
    try:
        document = tomllib.loads(source.read_text(encoding="utf-8"))
        return _table(document)
    except OSError as error:
        raise InputNotFoundError(
            f"label table {path}: cannot be read ({error.strerror})"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"label table {path}: not TOML: {error}") from error
    except _MALFORMED as error:
        raise UsageError(
            f"label table {path}: {error} is missing, unknown or malformed; tissues are "
            f"{', '.join(TISSUES)}, and the bundled table shows what else is needed"
        ) from error


def _table(content: Mapping[str, Any]) -> LabelTable:
    classes, border = content["classes"], content["partial_volume"]
    names = (*classes, str(border["name"]))
    index = {name: i for i, name in enumerate(names)}
    if len(index) < len(names) or len(names) > _MOST_CLASSES:
        raise ValueError(f"{border['name']} (a name for each of at most {_MOST_CLASSES} classes)")
    tissues = [entry["tissue"] for entry in classes.values()] + [border["tissue"]]
    return LabelTable(
        class_names=names,
        tissue_of_class=tuple(TISSUES.index(str(t)) for t in tissues),
        class_of_label={
            _label(label): index[name]
            for name, entry in classes.items()
            for label in entry["labels"]
        },
        grey=tuple(index[name] for name in border["grey"]),
        white=tuple(index[name] for name in border["white"]),
        border=index[str(border["name"])],
        sigma_mm=_length(border["sigma_mm"], lowest=0.0),
        landmarks_mm={
            int(k): (_length(v[0]), _length(v[1]), _length(v[2]))
            for k, v in content.get("landmarks_mm", {}).items()
        },
        ageing=_ageing(content["ageing"], index) if "ageing" in content else None,
    )


def _ageing(entry: Mapping[str, Any], index: Mapping[str, int]) -> AgeingClasses:
    return AgeingClasses(
        ventricle=index[entry["ventricle"]],
        yields=tuple(index[name] for name in (*entry["yields"], entry["white_matter"])),
        white_matter=index[entry["white_matter"]],
        hyperintensity=index[entry["hyperintensity"]],
    )


def _label(value: object) -> int:
    """Check a label: a whole number that an image can hold."""
    if type(value) is not int or not 0 <= value < 2**31:
        raise ValueError(f"label {reprlib.repr(value)} (a whole number from 0)")
    return value


def _length(value: object, lowest: float = -_MOST_MM) -> float:
    """Check a length or a coordinate in mm."""
    if not isinstance(value, int | float) or not lowest <= value <= _MOST_MM:
        raise ValueError(f"{reprlib.repr(value)} (a number of mm)")
    return float(value)
