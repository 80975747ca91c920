"""What the training of a second stage can be told; read from TOML."""

import math
import os
import typing
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from strokeseg.errors import UsageError
from strokeseg.models.second_stage import CHANNELS
from strokeseg.network.half_spec import FOLD
from strokeseg.training.config import build_section, bundled_configs, read_config, read_document
from strokeseg.training.settings import DataConfig, TrainConfig
from strokeseg.training.translation.settings import FitConfig

KIND = "stage-two"


@dataclass(frozen=True)
class NetworkConfig:
    """A half-resolution U-Net, and what it sees (`strokeseg.models.second_stage.CHANNELS`).

    With `corrects` its logits are added to the first stage's log-odds, so that a network that knows
    nothing yet leaves them nearly as they are.
    """

    sees: tuple[str, ...] = ("scan", "lesion")
    channels: tuple[int, ...] = (16, 32, 64, 96)
    encoder_units: tuple[int, ...] = (1, 1, 1, 1)
    decoder_units: tuple[int, ...] = (1, 1, 1)
    corrects: bool = True


@dataclass(frozen=True)
class CropConfig:
    """Crops of `edge_vox`, from samples of `canvas_vox`, both of small voxels.

    A sample costs far more than a step: every `per_sample` steps a new one is drawn, and each crop
    is of one of the last `kept`. After `most_samples` (0: never) the first of them come again. In
    `store`, a folder (empty: none), they stay for other runs.

    `lesion_share` of the crops lie on true lesions, where the first stage gives them `threshold` of
    probability, `false_share` on voxels that it gives as much and that are none, the others
    anywhere; where no sample has such a place, anywhere. The threshold is also the one that the
    model will look again from. The scan's intensities and the first stage's log-odds are stretched
    and shifted by about `jitter`.
    """

    edge_vox: int = 64
    canvas_vox: int = 192
    per_sample: int = 20
    kept: int = 24
    most_samples: int = 0
    store: str = ""
    lesion_share: float = 0.2
    false_share: float = 0.7
    threshold: float = 0.05
    jitter: float = 0.1


@dataclass(frozen=True)
class ObjectiveConfig:
    """The rim is what lies within `rim_mm` of a lesion's edge; the core is the rest of it.

    Beside cross-entropy and Dice the loss has `distance_weight` times the mean squared error of the
    lesion's log-odds against the signed distance to its edge in mm (inside is positive), clipped at
    `distance_mm`, as a share of that; 0 leaves it out. `whole_weight` is that of cross-entropy and
    Dice of the lesion as a whole; `entropy_weight` that of the parts' cross-entropy once more, for
    Dice alone would rather say too much than too little. The model takes for lesion what reaches
    `decide_at` of probability, until `strokeseg.training.stage_comparison` has chosen better.
    """

    rim_mm: float = 2.0
    whole_weight: float = 1.0
    entropy_weight: float = 40.0
    distance_weight: float = 0.5
    distance_mm: float = 10.0
    decide_at: float = 0.5


@dataclass(frozen=True)
class StageTwoConfig:
    """One training of a second stage, whole.

    `first` is the model of the first stage, a name or a folder; `samples` the configuration whose
    samples are drawn, a bundled one or a file, at `voxel_size_mm`, without slices and real pairs.
    """

    name: str = KIND
    kind: str = KIND
    seed: int = 20261201
    first: str = "synth-open"
    samples: str = "synth-open-mixed"
    voxel_size_mm: float = 1.0
    network: NetworkConfig = field(default_factory=NetworkConfig)
    crops: CropConfig = field(default_factory=CropConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(6000, 4, 2e-3, (0.9, 0.999), 0.998, "bf16")
    )
    checkpoint_steps: int = 100


def bundled_stage_configs() -> tuple[str, ...]:
    """Name the bundled configurations of second stages."""
    return tuple(sorted(path.stem for path in _folder().glob("*.toml")))


def read_stage_two_config(source: Path | str) -> StageTwoConfig:
    """Read a configuration: a TOML file, or a bundled one by name.

    Relative paths count from its own folder.

    Raises
    ------
    InputNotFoundError
        There is neither.
    UsageError
        A key or a value makes no sense.
    """
    known = bundled_stage_configs()
    path = _folder() / f"{source}.toml" if str(source) in known else Path(source)
    document = read_document(path, str(source), known)
    config = typing.cast(StageTwoConfig, build_section(StageTwoConfig, document, str(source)))
    _check(config, str(source))
    samples, first = config.samples, config.first
    if samples not in bundled_configs():
        samples = _absolute(path.parent, samples)
    if (path.parent / first).is_dir():
        first = _absolute(path.parent, first)
    crops = config.crops
    if crops.store:
        crops = replace(crops, store=_absolute(path.parent, crops.store))
    return replace(config, samples=samples, first=first, crops=crops)


def as_plain(config: StageTwoConfig) -> dict[str, Any]:
    """Give a configuration as plain values."""
    return asdict(config)


def samples_config(config: StageTwoConfig, *, edge_vox: int | None = None) -> TrainConfig:
    """Give the configuration that samples are drawn by: that of the first stage, in small voxels.

    What it says in voxels grows as voxels shrink; a sample is the whole canvas, or a cube of
    `edge_vox`. Slices, which lack an axis, and real pairs are left out, as are small crops.
    """
    run = read_config(config.samples)
    times = run.data.voxel_size_mm / config.voxel_size_mm
    spatial, intensity, edge = run.spatial, run.intensity, edge_vox or config.crops.canvas_vox
    i, j, k = spatial.wander_vox
    return replace(
        run,
        data=_without_slices(replace(run.data, voxel_size_mm=config.voxel_size_mm)),
        contrast=replace(
            run.contrast,
            texture_fwhm_vox=run.contrast.texture_fwhm_vox * times,
            translated_share=0.0,
        ),
        spatial=replace(
            spatial,
            crop_vox=(edge, edge, edge),
            canvas_vox=(0, 0, 0),
            wander_vox=(i * times, j * times, k * times),
            small_share=0.0,
        ),
        intensity=replace(
            intensity,
            blur_fwhm_limit_vox=intensity.blur_fwhm_limit_vox * times,
            thickness_limit_vox=intensity.thickness_limit_vox * times,
            strip_erode_vox=math.ceil(intensity.strip_erode_vox * times),
            strip_dilate_vox=math.ceil(intensity.strip_dilate_vox * times),
            rim_depth_vox=intensity.rim_depth_vox * times,
        ),
        slices=replace(run.slices, thin_share=0.0),
        start_from="",
        loss=replace(run.loss, soft_target=False),
        lesion_only=False,
        validation=replace(run.validation, crop_vox=(edge, edge, edge)),
    )


def _without_slices(data: DataConfig) -> DataConfig:
    return replace(data, slices="", slice_share=0.0, pairs="", real_share=0.0)


def _check(config: StageTwoConfig, where: str) -> None:
    network, crops, fit, objective = config.network, config.crops, config.fit, config.objective
    if config.kind != KIND:
        raise UsageError(f"{where}: kind is {config.kind!r}; a second stage's is {KIND!r}")
    if list(network.sees) != [one for one in CHANNELS if one in network.sees] or not network.sees:
        raise UsageError(f"{where}: network.sees must be some of {', '.join(CHANNELS)}, in order")
    if network.corrects and "lesion" not in network.sees:
        raise UsageError(f"{where}: network.corrects needs lesion among network.sees")
    levels = len(network.channels)
    if (
        levels < 2
        or len(network.encoder_units) != levels
        or len(network.decoder_units) != levels - 1
    ):
        raise UsageError(f"{where}: network needs channels and encoder_units of two levels or more")
    if min(*network.channels, *network.encoder_units, *network.decoder_units) < 1:
        raise UsageError(f"{where}: network.channels and units must be above 0")
    stride = FOLD**levels
    if crops.edge_vox < 2 * stride or crops.edge_vox % stride:
        raise UsageError(f"{where}: crops.edge_vox must be a multiple of {stride}, {2 * stride} up")
    if crops.canvas_vox < crops.edge_vox or crops.per_sample < 1:
        raise UsageError(f"{where}: crops.canvas_vox must hold a crop, and per_sample be 1 or more")
    if crops.kept < 1 or crops.most_samples < 0 or crops.jitter < 0:
        raise UsageError(
            f"{where}: crops.kept must be 1 or more, most_samples and jitter 0 or more"
        )
    shares = (crops.lesion_share, crops.false_share)
    if min(shares) < 0 or sum(shares) > 1 or not 0 < crops.threshold < 1:
        raise UsageError(
            f"{where}: crops.lesion_share and false_share exceed 1, or threshold is off"
        )
    if fit.precision not in ("bf16", "fp32") or min(fit.steps, fit.batch) < 1:
        raise UsageError(f"{where}: fit.precision must be bf16 or fp32, steps and batch above 0")
    if not 0 <= fit.average < 1 or fit.learning_rate <= 0 or config.checkpoint_steps < 1:
        raise UsageError(f"{where}: fit.average, learning_rate or checkpoint_steps is out of range")
    if objective.rim_mm <= 0 or objective.distance_mm <= 0 or objective.distance_weight < 0:
        raise UsageError(f"{where}: objective.rim_mm and distance_mm must be above 0")
    if not 0 < objective.decide_at < 1:
        raise UsageError(f"{where}: objective.decide_at is {objective.decide_at:g}; give 0 to 1")
    if not 0.3 <= config.voxel_size_mm <= 10:
        raise UsageError(f"{where}: voxel_size_mm is {config.voxel_size_mm:g}; give 0.3 to 10")


def _folder() -> Path:
    return Path(str(resources.files("strokeseg.training.stage_two"))) / "configs"


def _absolute(folder: Path, path: str) -> str:
    # Not Path.resolve(): a link to a folder stays what its owner calls it.
    return os.path.abspath(folder / path)  # noqa: PTH100
