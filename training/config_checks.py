"""What the values of a training configuration must be, where a type cannot tell."""

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from strokeseg.errors import UsageError
from strokeseg.images.intensity import TRAINED
from strokeseg.network import half_spec, planar_spec
from strokeseg.network.kinds import UNET
from strokeseg.training.settings import TrainConfig

TRAINABLE = (UNET, half_spec.ARCHITECTURE, planar_spec.ARCHITECTURE)

SHARES = (
    *("data.real_share", "lesion.lesion_free_share", "lesion.anywhere_share", "lesion.fade_share"),
    *("lesion.fade_minimum", "lesion.alpha", "contrast.plausible_share"),
    *("contrast.uniform_lesion_share", "spatial.flip_probability", "intensity.blur_share"),
    *("intensity.thick_share", "intensity.strip_share", "real.equalise_share", "real.shift_share"),
    *("optimiser.dropout", "optimiser.average", "ageing.share"),
    *("intensity.defect_share", "intensity.rim_share", "data.slice_share", "data.scan_share"),
    *("data.paste_share", "slices.paste_share", "contrast.translated_share"),
    *("spatial.small_share", "lesion.least_visible", "slices.thin_share"),
    *("spatial.roam_share", "spatial.cut_share", "spatial.cut_limit", "optimiser.hold_share"),
    *("slices.lesion_share", "slices.whole_share", "slices.masked_share"),
    *("planar.lesion_share", "planar.repeated_share"),
)
AT_LEAST_ONE = (
    *("optimiser.steps", "optimiser.batch", "checkpoint_steps", "contrast.texture_bank"),
    *("validation.cases", "validation.cases_in_run", "intensity.rim_count"),
    *("contrast.translated_variants", "planar.gap_vox", "planar.pool", "planar.slices_per_sample"),
    "planar.every_vox",
)
AT_LEAST_TWO_POINTS = (
    *("lesion.fade_points", "spatial.elastic_points", "intensity.bias_points"),
    *("intensity.g_factor_points", "real.shift_points", "ageing.ventricle_points"),
)
POSITIVE = (
    *("data.voxel_size_mm", "optimiser.learning_rate", "lesion.volume_ml", "ageing.reach_mm"),
    *("intensity.rim_gain", "loss.empty_smooth_vox", "planar.fresh_per_step"),
)
RISING = (
    *("lesion.volume_ml", "ageing.ventricle_threshold", "ageing.hyperintensity_threshold"),
    "intensity.clip_percentiles",
)


def check(config: TrainConfig, where: str) -> None:
    """Check values that a type cannot tell apart.

    Raises
    ------
    UsageError
        The first that is out of range, by its key.
    """
    for key, numbers in ((key, _numbers(config, key)) for key in SHARES):
        if not all(0 <= number <= 1 for number in numbers):
            raise UsageError(f"{where}: {key} is {numbers[0]:g}; give a share from 0 to 1")
    limits = [(key, 1.0) for key in AT_LEAST_ONE] + [(key, 2.0) for key in AT_LEAST_TWO_POINTS]
    for key, least in limits:
        if min(_numbers(config, key)) < least:
            raise UsageError(
                f"{where}: {key} is {_numbers(config, key)[0]:g}; give {least:g} or more"
            )
    for key in POSITIVE:
        if not all(math.isfinite(number) and number > 0 for number in _numbers(config, key)):
            raise UsageError(f"{where}: {key} must be above 0")
    _check_numbers(config, where)
    if config.ageing.hyperintensity_points < 4:
        raise UsageError(f"{where}: ageing.hyperintensity_points must be 4 or more")
    if config.architecture not in TRAINABLE:
        raise UsageError(f"{where}: architecture must be one of {', '.join(TRAINABLE)}")
    _check_shapes(config, where)
    if config.intensity.normalisation not in TRAINED:
        known = ", ".join(TRAINED)
        raise UsageError(f"{where}: intensity.normalisation must be one of {known}")
    if config.optimiser.precision not in ("bf16", "fp32"):
        raise UsageError(f"{where}: optimiser.precision must be bf16 or fp32")
    low, high = config.intensity.clip_percentiles
    if not low < high <= 100:
        raise UsageError(f"{where}: intensity.clip_percentiles must rise within 0 to 100")
    if config.loss.soft_target and config.data.partly_known_share > 0:
        raise UsageError(
            f"{where}: loss.soft_target needs tissue maps, which real images lack; set "
            "data.real_share, data.slice_share and data.scan_share to 0"
        )
    if config.contrast.translated_share > 0 and not config.data.translators:
        raise UsageError(f"{where}: contrast.translated_share needs data.translators")
    if config.contrast.translated_share > 0 and config.loss.soft_target:
        raise UsageError(f"{where}: loss.soft_target knows no translated images")
    if config.data.partly_known_share > 1:
        raise UsageError(f"{where}: data.real_share, slice_share and scan_share exceed 1 together")


def _check_numbers(config: TrainConfig, where: str) -> None:
    """Check what draws of random numbers ask for: nothing below 0, and ranges that rise."""
    for key, value in leaves(config):
        values = value if isinstance(value, tuple) else (value,)
        below = [one for one in values if isinstance(one, int | float) and one < 0]
        if below:
            raise UsageError(f"{where}: {key} is {below[0]:g}; give 0 or more")
    for key in RISING:
        low, high = _numbers(config, key)
        if low > high:
            raise UsageError(f"{where}: {key} must rise, got {low:g} to {high:g}")
    scanner = config.intensity
    if not 0 < scanner.snr_minimum <= scanner.snr_maximum:
        raise UsageError(
            f"{where}: intensity.snr_minimum must be above 0, and snr_maximum no less; got "
            f"{scanner.snr_minimum:g} and {scanner.snr_maximum:g}"
        )
    if scanner.thickness_limit_vox < 1:
        raise UsageError(f"{where}: intensity.thickness_limit_vox must be 1 or more")
    if config.spatial.zoom >= 1:
        raise UsageError(f"{where}: spatial.zoom is {config.spatial.zoom:g}; give less than 1")
    if not sum(config.lesion.count_weights) > 0:
        raise UsageError(f"{where}: lesion.count_weights must hold a number above 0")


def leaves(section: Any, before: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - a dataclass
    """Give each value of a configuration with its dotted key."""
    for entry in fields(section):
        value = getattr(section, entry.name)
        if is_dataclass(value):
            yield from leaves(value, f"{before}{entry.name}.")
        else:
            yield f"{before}{entry.name}", value


def _check_shapes(config: TrainConfig, where: str) -> None:
    if len(config.channels) < 2 or min(config.channels) < 1:
        raise UsageError(f"{where}: channels must be at least two numbers above 0")
    planar = config.architecture == planar_spec.ARCHITECTURE
    stride = 2 ** (len(config.channels) - (0 if planar else 1))
    crops: dict[str, tuple[int, ...]] = {"spatial.crop_vox": config.spatial.crop_vox}
    crops["validation.crop_vox"] = config.validation.crop_vox
    if config.spatial.small_share > 0:
        crops["spatial.small_crop_vox"] = config.spatial.small_crop_vox
    if config.slices.thin_share > 0:
        crops["slices.thin_vox"] = (config.slices.thin_vox,)
    for key, crop in crops.items():
        if any(edge < stride or edge % stride for edge in crop):
            raise UsageError(
                f"{where}: {key} is {crop}; the network's stride asks for multiples of {stride}"
            )
    if config.optimiser.batch > 1 and (config.spatial.small_share or config.slices.thin_share):
        raise UsageError(
            f"{where}: crops of several sizes (spatial.small_share, slices.thin_share) need "
            "optimiser.batch of 1"
        )
    if planar:
        _check_planar(config, where)
    canvas = config.spatial.canvas_vox
    if any(canvas) and any(a < b for a, b in zip(canvas, config.spatial.crop_vox, strict=True)):
        raise UsageError(f"{where}: spatial.canvas_vox is {canvas}, smaller than the crop")
    data = config.data
    if len(data.lesions) != len(data.held_out_every):
        raise UsageError(
            f"{where}: data.held_out_every has {len(data.held_out_every)} entries for "
            f"{len(data.lesions)} folders of lesions; give one for each (0: hold out none)"
        )


def _check_planar(config: TrainConfig, where: str) -> None:
    """Check what a network of slices asks for."""
    spatial, planar = config.spatial, config.planar
    if len(set(spatial.crop_vox)) > 1 or spatial.small_share or config.slices.thin_share:
        raise UsageError(
            f"{where}: {config.architecture} learns from slices of one size: spatial.crop_vox must "
            "have three equal edges, spatial.small_share and slices.thin_share be 0"
        )
    if config.loss.soft_target:
        raise UsageError(f"{where}: loss.soft_target knows no slices; set it to false")
    if planar.gap_vox > planar_spec.MOST_GAP:
        raise UsageError(f"{where}: planar.gap_vox must be {planar_spec.MOST_GAP} or less")
    edge = planar_spec.FOLD ** len(config.channels)
    if edge % planar.every_vox:
        raise UsageError(f"{where}: planar.every_vox must be a power of two up to {edge}")


def _numbers(config: TrainConfig, key: str) -> tuple[float, ...]:
    """Give the value of a dotted key as a tuple of numbers."""
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value if isinstance(value, tuple) else (value,)
