"""What a model's config.json says: the published fields, and ours under ``strokeseg``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from strokeseg.arrays import Shape3
from strokeseg.errors import ModelFormatError, UsageError
from strokeseg.images.intensity import Normalisation, Padding
from strokeseg.models import config_fields as read
from strokeseg.models.classes import LESION, default_classes
from strokeseg.models.fusion import Fusion
from strokeseg.models.second_stage import SecondStage
from strokeseg.models.volume_interval import VolumeInterval
from strokeseg.network.state import Spec, read_spec

FieldOfView = Literal["brain", "whole"]
Finding = Literal["lesion", "brain"]

# The largest window there is: networks that need no windows see a whole head at once.
WHOLE = 1024

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
        "lesion_offsets",
        "field_of_view",
        "axes",
        "padding",
        "least_size",
        "quantiles",
        "sequences",
        "finds",
        "flips",
        "volume_interval",
        "stages",
        "training",
    }
)


@dataclass(frozen=True)
class Unsaid:
    """What is taken to hold of a model whose own config does not say it.

    Attributes
    ----------
    classes
        Its class names; None where nobody knows them.
    sequences
        What it is meant for; empty for any.
    """

    classes: tuple[str, ...] | None = None
    sequences: tuple[str, ...] = ()


NOTHING = Unsaid()


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
        Largest edge of a window in voxels of the working grid.
    normalisation
        How intensities are prepared.
    class_names
        In the order of the outputs; the last is what the model finds.
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
    lesion_offsets
        What is added to the lesion's logit in scans of a sequence, by modality, for a network that
        says too little of the lesion there.
    field_of_view
        Whether the brain is looked for first ("brain"), or all that a scan shows is seen ("whole").
    axes
        Directions that the axes of its images run towards; its kernels are turned to RAS when
        they are read.
    padding
        What is taken to lie beyond an image, once it is normalised: 0, or its darkest voxel.
    least_size
        Size in voxels that an image is padded to before it is normalised and seen.
    quantiles
        That an image is clipped to, with the normalisation "quantile".
    sequences
        What it is meant for, such as t2; empty for any.
    finds
        The lesion or the brain.
    flips
        Whether it is averaged over the eight flips, unless that is chosen.
    volume_interval
        How far the true volume may lie from the one that is found; None where nobody measured it.
    second
        The network that looks again at what this one found; None where there is none.
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
    lesion_offsets: Mapping[str, float] = field(default_factory=dict)
    field_of_view: FieldOfView = "whole"
    axes: str = "RAS"
    padding: Padding = "zero"
    least_size: Shape3 = (1, 1, 1)
    quantiles: tuple[float, float] = (0.02, 0.98)
    sequences: tuple[str, ...] = ()
    finds: Finding = "lesion"
    flips: bool = True
    volume_interval: VolumeInterval | None = None
    second: SecondStage | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], unsaid: Unsaid = NOTHING) -> "ModelConfig":
        """Read the content of a `config.json`.

        Parameters
        ----------
        config
            The published fields, and ours under ``strokeseg``.
        unsaid
            What to take where the config is silent.

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
        finds = cast(Finding, read.word(own, "finds", LESION, get_args(Finding)))
        rule = spec.window_rule
        normalisation = cast(
            Normalisation, read.word(own, "normalisation", "histogram", get_args(Normalisation))
        )
        padding = "darkest" if normalisation == "foreground" else "zero"
        names = _class_names(own, unsaid.classes, spec.out_channels, finds)
        threshold = read.maybe_number(own, "threshold", lowest=1e-4, highest=0.9999)
        second = _second(own, names, normalisation, finds)
        return cls(
            spec=spec,
            class_names=names,
            voxel_size_mm=read.number(own, "voxel_size_mm", 1.0, lowest=0.1, highest=10.0),
            window=read.whole(
                own, "window", 192 if rule == "blended" else WHOLE, lowest=8, highest=WHOLE
            ),
            normalisation=normalisation,
            threshold=threshold,
            min_volume_ml=read.number(own, "min_volume_ml", 0.0, lowest=0.0, highest=1e4),
            min_peak=read.number(own, "min_peak", 0.0, lowest=0.0, highest=1.0),
            brain_mask=read.flag(own, "brain_mask", default=spec.out_channels > 2),
            hull_margin_mm=read.maybe_number(own, "hull_margin_mm", lowest=0.0, highest=100.0),
            fusion=_fusion(own),
            lesion_offsets=_lesion_offsets(own, threshold, second),
            field_of_view=cast(
                FieldOfView, read.word(own, "field_of_view", "whole", get_args(FieldOfView))
            ),
            axes=_axes(own, spec),
            padding=cast(Padding, read.word(own, "padding", padding, get_args(Padding))),
            least_size=_least_size(own, spec),
            quantiles=read.quantiles(own),
            sequences=read.names(own, "sequences", unsaid.sequences),
            finds=finds,
            flips=read.flag(own, "flips", default=rule == "blended"),
            volume_interval=VolumeInterval.read(own),
            second=second,
            provenance=read.table(own, "training"),
        )

    def lesion_offset(self, modality: str) -> float:
        """Give what is added to the lesion's logit in a scan of this modality."""
        return self.lesion_offsets.get(modality, 0.0)

    def suits(self, sequence: str) -> bool:
        """Tell whether a scan of this sequence is what the model is meant for."""
        return not self.sequences or sequence in self.sequences


def _second(
    own: Mapping[str, Any], names: tuple[str, ...], normalisation: Normalisation, finds: Finding
) -> SecondStage | None:
    second = SecondStage.read(own, names, normalisation)
    if second is not None and finds != LESION:
        raise ModelFormatError("config.json: strokeseg.stages: only lesions are looked at again")
    return second


def _class_names(
    own: Mapping[str, Any], classes: tuple[str, ...] | None, count: int, finds: str
) -> tuple[str, ...]:
    names = read.names(own, "class_names", classes or default_classes(count, finds))
    if len(names) != count or len(set(names)) != count:
        raise ModelFormatError(
            f"config.json: {len(set(names))} different class names for {count} output channels"
        )
    return names


def _axes(own: Mapping[str, Any], spec: Spec) -> str:
    axes = read.axes(own)
    if axes != "RAS" and max(spec.stride_product) > 1:
        raise ModelFormatError(
            f"config.json: strokeseg.axes is {axes}, and a network with strides sees RAS alone"
        )
    return axes


def _least_size(own: Mapping[str, Any], spec: Spec) -> Shape3:
    least = read.size(own, "least_size")
    if max(least) > 1 and spec.window_rule == "blended":
        raise ModelFormatError(
            "config.json: strokeseg.least_size is of no use: the network's windows are padded to "
            "strokeseg.window"
        )
    return least


def _lesion_offsets(
    own: Mapping[str, Any], threshold: float | None, second: SecondStage | None
) -> dict[str, float]:
    """Read offsets by modality; they go with a threshold, and with a network that looks alone."""
    entries = read.table(own, "lesion_offsets")
    if entries and (threshold is None or second is not None):
        lacking = "a threshold" if threshold is None else "a model of one stage"
        raise ModelFormatError(f"config.json: strokeseg.lesion_offsets needs {lacking}")
    return {name: read.number(entries, name, 0.0, lowest=-20.0, highest=20.0) for name in entries}


def _fusion(own: Mapping[str, Any]) -> Fusion:
    """Read a fusion: the name of a rule, or a table of `rule` and its numbers."""
    value = own.get("fusion", "mean_logits")
    table = {"rule": value} if isinstance(value, str) else value
    if not isinstance(table, dict) or not isinstance(table.get("rule"), str):
        raise ModelFormatError(
            f"config.json: strokeseg.fusion is {read.shown(value)}, not a rule or a table with one"
        )
    numbers: dict[str, Any] = {}
    for name, entry in table.items():
        if name in ("weights", "temperatures", "floors") and isinstance(entry, dict):
            numbers[name] = {
                str(key): read.number(entry, key, 1.0, lowest=0.0, highest=1000.0) for key in entry
            }
        elif name == "sharpness":
            numbers[name] = read.number(table, name, 1.0, lowest=0.0, highest=100.0)
        elif name != "rule":
            raise ModelFormatError(f"config.json: strokeseg.fusion has no {read.shown(name)}")
    try:
        return Fusion(rule=table["rule"], **numbers)
    except UsageError as error:
        raise ModelFormatError(f"config.json: strokeseg.fusion: {error}") from error
