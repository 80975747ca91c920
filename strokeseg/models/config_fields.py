"""The settings that a `config.json` holds under ``strokeseg``, read one by one with refusals."""

import reprlib
from collections.abc import Mapping
from typing import Any

from strokeseg.arrays import Shape3
from strokeseg.errors import ModelFormatError

_AXES = (frozenset("RL"), frozenset("AP"), frozenset("SI"))
_MOST_VOXELS = 512


def number(
    own: Mapping[str, Any], name: str, default: float, *, lowest: float, highest: float
) -> float:
    """Read a number within bounds."""
    value = own.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ModelFormatError(f"config.json: strokeseg.{name} is {shown(value)}, not a number")
    if not lowest <= value <= highest:
        raise ModelFormatError(
            f"config.json: strokeseg.{name} is {shown(value)}, outside {lowest:g} to {highest:g}"
        )
    return float(value)


def maybe_number(
    own: Mapping[str, Any], name: str, *, lowest: float, highest: float
) -> float | None:
    """Read a number within bounds, or null."""
    if own.get(name) is None:
        return None
    return number(own, name, lowest, lowest=lowest, highest=highest)


def whole(own: Mapping[str, Any], name: str, default: int, *, lowest: int, highest: int) -> int:
    """Read a whole number within bounds."""
    value = own.get(name, default)
    if type(value) is not int or not lowest <= value <= highest:
        raise ModelFormatError(
            f"config.json: strokeseg.{name} is {shown(value)}, not a whole {lowest} to {highest}"
        )
    return value


def word(own: Mapping[str, Any], name: str, default: str, known: tuple[str, ...]) -> str:
    """Read one of some words."""
    value = own.get(name, default)
    if value not in known:
        raise ModelFormatError(
            f"config.json: strokeseg.{name} is {shown(value)}, not one of {', '.join(known)}"
        )
    return str(value)


def flag(own: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """Read true or false."""
    value = own.get(name, default)
    if not isinstance(value, bool):
        raise ModelFormatError(
            f"config.json: strokeseg.{name} is {shown(value)}, not true or false"
        )
    return value


def table(own: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Read a table of anything."""
    value = own.get(name, {})
    if not isinstance(value, dict):
        raise ModelFormatError(f"config.json: strokeseg.{name} must be a table")
    return value


def names(own: Mapping[str, Any], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    """Read a list of different names, each 1 to 100 printable characters."""
    value = own.get(name, default)
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ModelFormatError(f"config.json: strokeseg.{name} must be a list of names")
    strange = [each for each in value if not (each.isprintable() and 1 <= len(each) <= 100)]
    if strange:
        raise ModelFormatError(
            f"config.json: strokeseg.{name}: {shown(strange[0])} is not 1 to 100 printable "
            "characters"
        )
    return tuple(value)


def axes(own: Mapping[str, Any]) -> str:
    """Read the directions that an array's axes run towards, such as RAS."""
    value = own.get("axes", "RAS")
    letters = [next((s for s in _AXES if each in s), None) for each in str(value)]
    if not isinstance(value, str) or len(value) != 3 or {*letters} != {*_AXES}:
        raise ModelFormatError(
            f"config.json: strokeseg.axes is {shown(value)}, not three letters such as RAS or LIA"
        )
    return value


def size(own: Mapping[str, Any], name: str) -> Shape3:
    """Read an edge in voxels for all axes, or three; 1 where it is not given."""
    value = own.get(name, 1)
    edges = value if isinstance(value, list) else [value] * 3
    if len(edges) != 3 or not all(type(e) is int and 1 <= e <= _MOST_VOXELS for e in edges):
        raise ModelFormatError(
            f"config.json: strokeseg.{name} is {shown(value)}, not one or three whole numbers of "
            f"voxels up to {_MOST_VOXELS}"
        )
    i, j, k = edges
    return i, j, k


def quantiles(own: Mapping[str, Any]) -> tuple[float, float]:
    """Read the lower and the upper quantile that an image is clipped to."""
    value = own.get("quantiles", [0.02, 0.98])
    numbers = isinstance(value, list) and all(type(each) in (int, float) for each in value)
    if not numbers or len(value) != 2 or not 0 <= value[0] < value[1] <= 1:
        raise ModelFormatError(
            f"config.json: strokeseg.quantiles is {shown(value)}, not two rising shares of 0 to 1"
        )
    return float(value[0]), float(value[1])


def shown(value: object) -> str:
    """Show a value for a message, cut short where it is long."""
    return reprlib.repr(value)
