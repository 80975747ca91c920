"""A model's second network, which looks again at what the first found: what its config says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from strokeseg.errors import ModelFormatError
from strokeseg.images.intensity import Normalisation
from strokeseg.models import config_fields as read
from strokeseg.models.classes import BACKGROUND
from strokeseg.models.tensors import SECOND_FILE
from strokeseg.network.state import Spec, read_spec

FIELD = "stages"
Channel = Literal["scan", "lesion", "tissues", "place"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)
PLACE_AXES = 3
DEFAULT_CLASSES = (BACKGROUND, "core", "rim")

_FIELDS = frozenset(
    {
        "file",
        "sha256",
        "network",
        "voxel_size_mm",
        "crop",
        "most_crops",
        "threshold",
        "channels",
        "class_names",
        "normalisation",
        "corrects",
        "training",
    }
)
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class SecondStage:
    """The second network of a model.

    Attributes
    ----------
    spec
        The network. Its input are the channels, its output the background and the parts.
    sha256
        Of its weights, `SECOND_FILE` in the model's folder.
    parts
        Of the lesion, by the order of the outputs; together they are the lesion.
    channels
        What it sees, in this order: ``scan``; ``lesion``, the first stage's log-odds of the lesion;
        ``tissues``, those of each class between background and lesion; ``place``, where a voxel
        lies in the head, by the first stage's tissues.
    voxel_size_mm
        Edge of its voxels.
    crop
        Edge of its windows, in voxels.
    most_crops
        How many windows a scan gets at most.
    threshold
        Lesion probability of the first stage from which a voxel is looked at again.
    normalisation
        How the scan's intensities are prepared.
    corrects
        Whether its logits of the parts are added to the first stage's log-odds of the lesion.
    provenance
        How it was trained, as the config says it.
    """

    spec: Spec
    sha256: str
    parts: tuple[str, ...] = DEFAULT_CLASSES[1:]
    channels: tuple[Channel, ...] = ("scan", "lesion")
    voxel_size_mm: float = 1.0
    crop: int = 64
    most_crops: int = 64
    threshold: float = 0.1
    normalisation: Normalisation = "foreground"
    corrects: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(
        cls, own: Mapping[str, Any], first: tuple[str, ...], normalisation: Normalisation
    ) -> "SecondStage | None":
        """Read the second stage of a config, None where it names none.

        Parameters
        ----------
        own
            The settings under ``strokeseg``.
        first
            Names of the first stage's classes.
        normalisation
            Of the first stage, which holds for the second where that names none.

        Raises
        ------
        ModelFormatError
            There are several, or a field is missing, unknown or out of range.
        """
        stages = own.get(FIELD, [])
        if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
            raise ModelFormatError(f"config.json: strokeseg.{FIELD} must be a list of tables")
        if not stages:
            return None
        if len(stages) > 1:
            raise ModelFormatError(
                f"config.json: strokeseg.{FIELD} names {len(stages)} networks beside the first; "
                "only one can be run"
            )
        unknown = sorted(set(stages[0]) - _FIELDS)
        if unknown:
            raise ModelFormatError(
                f"config.json: unknown setting strokeseg.{FIELD}.{unknown[0][:80]}; update "
                "strokeseg"
            )
        return cls._of(
            {f"{FIELD}.{name}": v for name, v in stages[0].items()}, first, normalisation
        )

    @classmethod
    def _of(
        cls, own: Mapping[str, Any], first: tuple[str, ...], normalisation: Normalisation
    ) -> "SecondStage":
        read.word(own, f"{FIELD}.file", SECOND_FILE, (SECOND_FILE,))
        names = read.names(own, f"{FIELD}.class_names", DEFAULT_CLASSES)
        channels = cast(
            tuple[Channel, ...], read.names(own, f"{FIELD}.channels", ("scan", "lesion"))
        )
        if list(channels) != [one for one in CHANNELS if one in channels] or not channels:
            raise ModelFormatError(
                f"config.json: strokeseg.{FIELD}.channels is {read.shown(list(channels))}: give "
                f"some of {', '.join(CHANNELS)}, in this order"
            )
        spec = _spec(own, image_count(channels, len(first)))
        if len(names) != spec.out_channels or len(set(names)) != len(names):
            raise ModelFormatError(
                f"config.json: strokeseg.{FIELD}: {len(set(names))} different class names for "
                f"{spec.out_channels} output channels"
            )
        return cls(
            spec=spec,
            sha256=_sha256(own),
            parts=names[1:],
            channels=channels,
            voxel_size_mm=read.number(own, f"{FIELD}.voxel_size_mm", 1.0, lowest=0.3, highest=10.0),
            crop=read.whole(own, f"{FIELD}.crop", 64, lowest=8, highest=256),
            most_crops=read.whole(own, f"{FIELD}.most_crops", 64, lowest=1, highest=10_000),
            threshold=read.number(own, f"{FIELD}.threshold", 0.1, lowest=1e-4, highest=0.9999),
            normalisation=cast(
                Normalisation,
                read.word(own, f"{FIELD}.normalisation", normalisation, get_args(Normalisation)),
            ),
            corrects=_corrects(own, channels),
            provenance=read.table(own, f"{FIELD}.training"),
        )

    def to_config(self) -> dict[str, Any]:
        """Return the table that `read` reads, ready for ``config.json``."""
        return {
            "file": SECOND_FILE,
            "sha256": self.sha256,
            "network": self.spec.to_config(),
            "voxel_size_mm": self.voxel_size_mm,
            "crop": self.crop,
            "most_crops": self.most_crops,
            "threshold": self.threshold,
            "channels": list(self.channels),
            "class_names": [BACKGROUND, *self.parts],
            "normalisation": self.normalisation,
            "corrects": self.corrects,
            "training": dict(self.provenance),
        }


def image_count(channels: tuple[Channel, ...], classes: int) -> int:
    """Count the images that some channels are, beside a first stage of so many classes."""
    counts = {"scan": 1, "lesion": 1, "tissues": classes - 2, "place": PLACE_AXES}
    return sum(counts[channel] for channel in channels)


def _spec(own: Mapping[str, Any], images: int) -> Spec:
    network = own.get(f"{FIELD}.network")
    if not isinstance(network, dict):
        raise ModelFormatError(f"config.json: strokeseg.{FIELD}.network must be a table")
    try:
        spec = read_spec(network, images)
    except ModelFormatError as error:
        what = str(error).removeprefix("config.json").removeprefix(": ").strip()
        raise ModelFormatError(f"config.json: strokeseg.{FIELD}.network: {what}") from error
    if spec.window_rule != "blended":
        raise ModelFormatError(
            f"config.json: strokeseg.{FIELD}.network is no U-Net, and only one can look again"
        )
    return spec


def _corrects(own: Mapping[str, Any], channels: tuple[Channel, ...]) -> bool:
    corrects = read.flag(own, f"{FIELD}.corrects", default=False)
    if corrects and "lesion" not in channels:
        raise ModelFormatError(
            f"config.json: strokeseg.{FIELD}.corrects needs lesion among its channels"
        )
    return corrects


def _sha256(own: Mapping[str, Any]) -> str:
    value = own.get(f"{FIELD}.sha256")
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ModelFormatError(
            f"config.json: strokeseg.{FIELD}.sha256 is {read.shown(value)}, not the sha256 of "
            f"{SECOND_FILE} in hexadecimal"
        )
    return value
