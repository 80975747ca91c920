"""What a model's config.json says: the published fields, and ours under ``strokeseg``."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast, get_args

from strokeseg.errors import ModelFormatError
from strokeseg.images.intensity import Normalisation
from strokeseg.models.classes import default_classes
from strokeseg.network.state import Spec, read_spec

_OWN_FIELDS = frozenset(
    {
        "voxel_size_mm",
        "window",
        "normalisation",
        "class_names",
        "threshold",
        "min_volume_ml",
        "min_peak",
        "brain_mask",
        "training",
    }
)


@dataclass(frozen=True)
class ModelConfig:
    """What `config.json` says, checked, with the published models' defaults filled in.

    Attributes
    ----------
    spec
        The network.
    voxel_size_mm
        Edge of the working grid's voxels.
    window
        Edge of the sliding window in voxels of the working grid.
    normalisation
        How intensities are prepared.
    class_names
        In the order of the outputs; the last is the lesion.
    threshold
        Lesion probability from which a voxel is lesion; None for the most probable class.
    min_volume_ml
        Lesions smaller than this are left out.
    min_peak
        Lesions whose highest probability is below this are left out.
    brain_mask
        Whether lesions must touch the model's own brain.
    provenance
        How it was trained, as the config says it.
    """

    spec: Spec
    class_names: tuple[str, ...]
    voxel_size_mm: float = 1.0
    window: int = 192
    normalisation: Normalisation = "histogram"
    threshold: float | None = None
    min_volume_ml: float = 0.0
    min_peak: float = 0.0
    brain_mask: bool = True
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], *, classes: tuple[str, ...] | None = None
    ) -> "ModelConfig":
        """Read the content of a `config.json`.

        Parameters
        ----------
        config
            The published fields, and ours under ``strokeseg``.
        classes
            Class names to take where the config gives none.

        Raises
        ------
        ModelFormatError
            A field is missing, unknown or out of range, or the network cannot be built.
        """
        spec = read_spec(config)
        own = config.get("strokeseg", {})
        if not isinstance(own, dict):
            raise ModelFormatError("config.json: strokeseg must be a table of settings")
        unknown = sorted(set(own) - _OWN_FIELDS)
        if unknown:
            raise ModelFormatError(
                f"config.json: unknown setting strokeseg.{unknown[0][:80]}; update strokeseg"
            )
        names = own.get("class_names", classes or default_classes(spec.out_channels))
        return cls(
            spec=spec,
            class_names=_class_names(names, spec.out_channels),
            voxel_size_mm=_number(own, "voxel_size_mm", 1.0, lowest=0.1, highest=10.0),
            window=_window(own),
            normalisation=_normalisation(own),
            threshold=None
            if own.get("threshold") is None
            else _number(own, "threshold", 0.5, lowest=0.0, highest=1.0),
            min_volume_ml=_number(own, "min_volume_ml", 0.0, lowest=0.0, highest=1e4),
            min_peak=_number(own, "min_peak", 0.0, lowest=0.0, highest=1.0),
            brain_mask=_brain_mask(own, spec.out_channels),
            provenance=_provenance(own),
        )


def _class_names(names: object, count: int) -> tuple[str, ...]:
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ModelFormatError("config.json: strokeseg.class_names must be a list of names")
    strange = [name for name in names if not (name.isprintable() and 1 <= len(name) <= 100)]
    if strange:
        raise ModelFormatError(
            f"config.json: the class name {_shown(strange[0])} is not 1 to 100 printable characters"
        )
    if len(names) != count or len(set(names)) != count:
        raise ModelFormatError(
            f"config.json: {len(set(names))} different class names for {count} output channels"
        )
    return tuple(names)


def _number(
    own: Mapping[str, Any], name: str, default: float, *, lowest: float, highest: float
) -> float:
    value = own.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ModelFormatError(f"config.json: strokeseg.{name} is {_shown(value)}, not a number")
    if not lowest <= value <= highest:
        raise ModelFormatError(
            f"config.json: strokeseg.{name} is {_shown(value)}, outside {lowest:g} to {highest:g}"
        )
    return float(value)


def _window(own: Mapping[str, Any]) -> int:
    value = own.get("window", 192)
    if type(value) is not int or not 8 <= value <= 1024:
        raise ModelFormatError(
            f"config.json: strokeseg.window is {_shown(value)}, not a whole 8 to 1024"
        )
    return value


def _normalisation(own: Mapping[str, Any]) -> Normalisation:
    value = own.get("normalisation", "histogram")
    known = get_args(Normalisation)
    if value not in known:
        raise ModelFormatError(
            f"config.json: strokeseg.normalisation is {_shown(value)}, not one of "
            f"{', '.join(known)}"
        )
    return cast(Normalisation, value)


def _brain_mask(own: Mapping[str, Any], classes: int) -> bool:
    value = own.get("brain_mask", classes > 2)
    if not isinstance(value, bool):
        raise ModelFormatError(
            f"config.json: strokeseg.brain_mask is {_shown(value)}, not true or false"
        )
    return value


def _provenance(own: Mapping[str, Any]) -> dict[str, Any]:
    value = own.get("training", {})
    if not isinstance(value, dict):
        raise ModelFormatError("config.json: strokeseg.training must be a table")
    return value


def _shown(value: object) -> str:
    """Show a value for a message, cut short where it is long."""
    return reprlib.repr(value)
