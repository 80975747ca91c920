"""The table of plausible sequences: how bright each class and each stage of a lesion may be."""

import reprlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from strokeseg.errors import InputNotFoundError, UsageError

Range = tuple[float, float]
_HIGHEST = 1000.0


@dataclass(frozen=True)
class LesionStage:
    """A stage of a lesion: how often, and the ranges of its core's and its rim's mean."""

    name: str
    share: float
    core: Range
    rim: Range


@dataclass(frozen=True)
class Sequence3D:
    """A plausible sequence: how often, a range of means per class, and the lesion's stages.

    For `noisy_air` of its images air is no signal but noise of any brightness, as in maps that are
    ratios of two images.
    """

    name: str
    share: float
    ranges: tuple[Range, ...]
    stages: tuple[LesionStage, ...]
    noisy_air: float = 0.0


def read_sequences(class_names: Sequence[str], path: Path | None = None) -> tuple[Sequence3D, ...]:
    """Read the table of plausible sequences; each names a range for every class.

    Raises
    ------
    UsageError
        It is not TOML, or a sequence lacks a class or something else.
    InputNotFoundError
        There is no such file.
    """
    source = path or resources.files("strokeseg.training").joinpath("tables/contrasts.toml")
    try:
        entries = tomllib.loads(source.read_text(encoding="utf-8"))["sequences"]
        found = tuple(_sequence(name, entry, class_names) for name, entry in entries.items())
        _check_shares(found, "sequence")
    except OSError as error:
        raise InputNotFoundError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"contrast table {path}: not TOML: {error}") from error
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise UsageError(
            f"contrast table {path}: {error} is missing or malformed; the bundled table shows "
            "what is needed"
        ) from error
    return found


def _sequence(name: str, entry: Mapping[str, Any], class_names: Sequence[str]) -> Sequence3D:
    missing = [c for c in class_names if c not in entry]
    if missing:
        raise UsageError(f"contrast table: sequence {name} has no range for {missing[0]!r}")
    stages = tuple(
        LesionStage(str(s["stage"]), _brightness(s["share"]), _range(s["core"]), _range(s["rim"]))
        for s in entry["lesion"]
    )
    ranges = tuple(_range(entry[c]) for c in class_names)
    _check_shares(stages, f"stage of {name}")
    noisy_air = min(_brightness(entry.get("noisy_air", 0.0)), 1.0)
    return Sequence3D(name, _brightness(entry["share"]), ranges, stages, noisy_air)


def _check_shares(entries: Sequence[Sequence3D] | Sequence[LesionStage], what: str) -> None:
    if not sum(entry.share for entry in entries) > 0:
        raise UsageError(f"contrast table: no {what} has a share above 0")


def _range(values: Sequence[float]) -> Range:
    low, high = _brightness(values[0]), _brightness(values[1])
    if low > high:
        raise ValueError(f"the range {low:g} to {high:g}")
    return low, high


def _brightness(value: float) -> float:
    """Check a brightness or a share."""
    if not 0 <= value <= _HIGHEST:
        raise ValueError(f"{reprlib.repr(value)} (a number from 0 to {_HIGHEST:g})")
    return float(value)
