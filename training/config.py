"""Configurations of training, read from TOML; unknown keys are refused."""

import tomllib
import types
import typing
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from strokeseg.errors import UsageError


@dataclass(frozen=True)
class DataConfig:
    """Where heads and lesions come from: folders of label maps and of lesion masks in MNI space.

    `held_out_*` are names (without extension) that training never sees; `held_out_every` holds
    out every so-many-th mask of each lesion folder (0: none).
    """

    label_maps: str = "../shared/data/label_maps"
    lesions: tuple[str, ...] = ("../shared/data/lesions/lesymap", "../shared/data/lesions/soop")
    held_out_maps: tuple[str, ...] = ("synthseg-15", "synthseg-16", "synthseg-17")
    held_out_lesions: tuple[str, ...] = ()
    held_out_every: tuple[int, ...] = (0, 10)
    voxel_size_mm: float = 2.0


@dataclass(frozen=True)
class LesionConfig:
    """How many lesions, how large, where, how faded, how softly stitched."""

    lesion_free_share: float = 0.1
    count_weights: tuple[float, ...] = (0.5, 0.2, 0.12, 0.08, 0.05, 0.05)
    volume_ml: tuple[float, float] = (1.0, 150.0)
    further_volume_ml: float = 20.0
    scale_limit: float = 8.0
    turn_deg: float = 15.0
    shift_mm: float = 6.0
    anywhere_share: float = 0.25
    fade_share: float = 0.5
    fade_minimum: float = 0.15
    fade_points: int = 6
    erode: int = 1
    dilate: int = 1
    alpha: float = 0.9
    target_above: float = 0.2


@dataclass(frozen=True)
class ContrastConfig:
    """How much of the paper's random mixture, how much of plausible sequences."""

    plausible_share: float = 0.85
    jitter: float = 0.25
    plausible_std: float = 9.0
    texture_std: float = 16.0
    texture_fwhm_vox: float = 2.0
    texture_bank: int = 3
    uniform_lesion_share: float = 0.4


@dataclass(frozen=True)
class SpatialConfig:
    """Affine, elastic, flips and the crop."""

    crop_vox: tuple[int, int, int] = (96, 96, 96)
    rotation_deg: float = 15.0
    shear: float = 0.012
    zoom: float = 0.15
    elastic: float = 0.05
    elastic_points: int = 10
    flip_probability: tuple[float, float, float] = (0.5, 0.5, 0.5)
    wander_vox: tuple[float, float, float] = (8.0, 8.0, 8.0)


@dataclass(frozen=True)
class IntensityConfig:
    """The scanner's imperfections, in voxels of the working grid."""

    bias_points: int = 7
    bias_strength: float = 0.25
    gamma_std: float = 0.2
    blur_share: float = 0.6
    blur_fwhm_limit_vox: float = 1.6
    thick_share: float = 0.4
    thickness_limit_vox: float = 3.5
    snr_minimum: float = 10.0
    snr_maximum: float = 100.0
    g_factor_points: int = 5
    strip_share: float = 0.4
    strip_erode_vox: int = 1
    strip_dilate_vox: int = 2


@dataclass(frozen=True)
class LossConfig:
    """Dice + cross-entropy; `tversky` weighs (false positives, false negatives) of the lesion."""

    lesion_weight: float = 3.0
    lesion_dice_weight: float = 2.0
    tversky: tuple[float, float] = (0.5, 0.5)


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW with polynomial decay, clipped gradients and an average of the weights."""

    steps: int = 20000
    warmup_steps: int = 200
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    decay_power: float = 0.9
    clip_norm: float = 12.0
    batch: int = 1
    dropout: float = 0.0
    precision: str = "bf16"
    average: float = 0.999
    compile: bool = False


@dataclass(frozen=True)
class TrainConfig:
    """One training run, whole."""

    name: str = "synth-open"
    seed: int = 20261120
    channels: tuple[int, ...] = (32, 64, 128, 256, 320, 320)
    data: DataConfig = field(default_factory=DataConfig)
    lesion: LesionConfig = field(default_factory=LesionConfig)
    contrast: ContrastConfig = field(default_factory=ContrastConfig)
    spatial: SpatialConfig = field(default_factory=SpatialConfig)
    intensity: IntensityConfig = field(default_factory=IntensityConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    checkpoint_steps: int = 500
    validation_steps: int = 2000


def read_config(path: Path) -> TrainConfig:
    """Read a TOML file; a key that no dataclass has, or a value of another type, is refused."""
    try:
        document = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such configuration") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    return typing.cast(TrainConfig, _build(TrainConfig, document, str(path)))


def as_document(config: TrainConfig) -> dict[str, Any]:
    """The configuration as plain values, for checkpoints and records."""
    return asdict(config)


def from_document(document: dict[str, Any]) -> TrainConfig:
    """Build a configuration from plain values (a checkpoint's)."""
    return typing.cast(TrainConfig, _build(TrainConfig, document, "configuration"))


def _build(cls: type, document: dict[str, Any], where: str) -> object:
    """Build a dataclass from a table, section by section."""
    hints = typing.get_type_hints(cls)
    known = {f.name for f in fields(cls)}
    unknown = sorted(set(document) - known)
    if unknown:
        raise UsageError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
    values = {}
    for key, value in document.items():
        kind = hints[key]
        if is_dataclass(kind):
            values[key] = _build(typing.cast(type, kind), value, f"{where} [{key}]")
        else:
            values[key] = _plain(kind, value, f"{where}: {key}")
    return cls(**values)


def _plain(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - a TOML value
    """Check one value against its annotation; lists become tuples, integers floats."""
    if typing.get_origin(kind) is tuple:
        arguments = typing.get_args(kind)
        if not isinstance(value, list | tuple):
            raise UsageError(f"{where}: expected a list, got {value!r}")
        if arguments[-1] is not Ellipsis and len(arguments) != len(value):
            raise UsageError(f"{where}: expected {len(arguments)} values, got {len(value)}")
        return tuple(_plain(arguments[0], item, where) for item in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, types.UnionType) or not isinstance(value, kind):
        raise UsageError(f"{where}: expected {kind.__name__}, got {value!r}")
    return value
