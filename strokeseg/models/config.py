"""What a model's config.json says: the published fields, and ours under ``strokeseg``."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from strokeseg.errors import ModelFormatError, UsageError
from strokeseg.images.intensity import Normalisation
from strokeseg.models.classes import default_classes
from strokeseg.models.fusion import Fusion
from strokeseg.network.state import Spec, read_spec

FieldOfView = Literal["brain", "whole"]

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
        "hull_margin_mm",
        "fusion",
        "field_of_view",
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
    hull_margin_mm
        How far beyond the hull of that brain a lesion may reach; None for anywhere.
    fusion
        How the scans of a case become one answer.
    field_of_view
        Whether the brain is looked for first ("brain"), or all that a scan shows is seen ("whole").
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
    hull_margin_mm: float | None = None
    fusion: Fusion = field(default_factory=Fusion)
    field_of_view: FieldOfView = "whole"
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
            hull_margin_mm=None
            if own.get("hull_margin_mm") is None
            else _number(own, "hull_margin_mm", 0.0, lowest=0.0, highest=100.0),
            fusion=_fusion(own),
            field_of_view=_field_of_view(own),
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


def _fusion(own: Mapping[str, Any]) -> Fusion:
    """Read a fusion: the name of a rule, or a table of `rule` and its numbers."""
    value = own.get("fusion", "mean_logits")
    table = {"rule": value} if isinstance(value, str) else value
    if not isinstance(table, dict) or not isinstance(table.get("rule"), str):
        raise ModelFormatError(
            f"config.json: strokeseg.fusion is {_shown(value)}, not a rule or a table with one"
        )
    numbers: dict[str, Any] = {}
    for name, entry in table.items():
        if name in ("weights", "temperatures", "floors") and isinstance(entry, dict):
            numbers[name] = {
                str(key): _number(entry, key, 1.0, lowest=0.0, highest=1000.0) for key in entry
            }
        elif name == "sharpness":
            numbers[name] = _number(table, name, 1.0, lowest=0.0, highest=100.0)
        elif name != "rule":
            raise ModelFormatError(f"config.json: strokeseg.fusion has no {_shown(name)}")
    try:
        return Fusion(rule=table["rule"], **numbers)
    except UsageError as error:
        raise ModelFormatError(f"config.json: strokeseg.fusion: {error}") from error


def _field_of_view(own: Mapping[str, Any]) -> FieldOfView:
    value = own.get("field_of_view", "whole")
    known = get_args(FieldOfView)
    if value not in known:
        raise ModelFormatError(
            f"config.json: strokeseg.field_of_view is {_shown(value)}, not one of "
            f"{', '.join(known)}"
        )
    return cast(FieldOfView, value)


def _provenance(own: Mapping[str, Any]) -> dict[str, Any]:
    value = own.get("training", {})
    if not isinstance(value, dict):
        raise ModelFormatError("config.json: strokeseg.training must be a table")
    return value


def _shown(value: object) -> str:
    """Show a value for a message, cut short where it is long."""
    return reprlib.repr(value)
