"""The fields of a `config.json` that describe a network, read with refusals that say what to do."""

import math
import reprlib
from collections.abc import Mapping
from typing import Any, Literal

from strokeseg.arrays import Shape3
from strokeseg.errors import ModelFormatError

# How the windows of an image become one: their weighted mean; each one's exact part; or one window
# that holds the image.
WindowRule = Literal["blended", "exact", "whole"]


def refusal(field: str, value: object, why: str) -> ModelFormatError:
    """Make the error for a field that no network can be built from."""
    shown = reprlib.repr(value)
    return ModelFormatError(f"config.json: {field} is {shown}: {why}; choose another model")


def integer(
    config: Mapping[str, Any],
    field: str,
    default: int | None,
    *,
    low: int,
    high: int | None = None,
) -> int:
    """Read a whole number within bounds.

    Raises
    ------
    ModelFormatError
        It is missing and has no default, is no whole number, or is out of bounds.
    """
    value = config.get(field, default)
    if value is None:
        raise ModelFormatError(
            f"config.json has no {field}, so the network cannot be built; add it"
        )
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise refusal(field, value, f"it must be a whole number from {low}")
    if high is not None and value > high:
        raise refusal(field, value, f"at most {high} can be built")
    return value


def integers(config: Mapping[str, Any], field: str, high: int | None = None) -> tuple[int, ...]:
    """Read a list of whole numbers from 1."""
    value = config.get(field)
    if not isinstance(value, list | tuple):
        raise refusal(field, value, "it must be a list of whole numbers")
    return tuple(integer({field: item}, field, None, low=1, high=high) for item in value)


def triple(field: str, value: object) -> Shape3:
    """Read one whole number for all axes, or three."""
    items = value if isinstance(value, list | tuple) else (value,) * 3
    if len(items) != 3:
        raise refusal(field, value, "it must be one number or three")
    i, j, k = (integer({field: item}, field, None, low=1) for item in items)
    return i, j, k


def choice(config: Mapping[str, Any], field: str, default: str, allowed: tuple[str, ...]) -> str:
    """Read one of some words, in capitals or not."""
    value = config.get(field, default)
    if not isinstance(value, str) or value.upper() not in allowed:
        raise refusal(field, value, f"only {', '.join(allowed)} can be built")
    return value.upper()


def flag(config: Mapping[str, Any], field: str, *, default: bool) -> bool:
    """Read true or false."""
    value = config.get(field, default)
    if not isinstance(value, bool):
        raise refusal(field, value, "it must be true or false")
    return value


def require_images(config: Mapping[str, Any], count: int = 1) -> None:
    """Refuse a network that is not 3D, or that takes more or fewer images at a time than `count`.

    A second stage takes several; the network of a scan takes one.
    """
    if integer(config, "spatial_dims", 3, low=1) != 3:
        raise refusal("spatial_dims", config["spatial_dims"], "only 3 can be built")
    if integer(config, "in_channels", None, low=1) != count:
        why = (
            "only networks that take one image at a time (1) can be run"
            if count == 1
            else f"its stage has {count} channels"
        )
        raise refusal("in_channels", config["in_channels"], why)


def product_of(strides: tuple[Shape3, ...]) -> Shape3:
    """Multiply strides, axis by axis."""
    i, j, k = (math.prod(stride[axis] for stride in strides) for axis in range(3))
    return i, j, k
