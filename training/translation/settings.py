"""What the training of a translator, or of a generator of masks, can be told; read from TOML."""

import os
import typing
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from strokeseg.errors import UsageError
from strokeseg.training.config import build_section, read_document

KINDS = ("pix2pix", "spade", "cyclegan")


@dataclass(frozen=True)
class PairConfig:
    """Label maps and the images of them.

    `slices` is what `strokeseg.training.slice_labels` writes; `scans` a table as `data.scans` of a
    run, of which `sequences` are taken (empty: all); `pairs` a folder of `NAME.nii.gz` beside
    `NAME_labels.nii.gz`, whose labels `label_table` explains ("classes": the translator's own,
    "freesurfer", "muse" or a TOML file). `scan_share` of what is drawn are scans and pairs, where
    there are slices too. `held_out` are subjects that are never seen, `*` allowed.
    """

    slices: str = ""
    scans: str = ""
    sequences: tuple[str, ...] = ()
    pairs: str = ""
    label_table: str = "classes"
    held_out: tuple[str, ...] = ()
    scan_share: float = 0.25
    voxel_size_mm: float = 2.0
    edge_vox: int = 96
    shift_vox: int = 4


@dataclass(frozen=True)
class GeneratorConfig:
    """The generator: channels a level from the finest on, of noise, and what is dropped."""

    channels: tuple[int, ...] = (16, 32, 64, 96)
    noise_channels: int = 4
    dropout: float = 0.3
    label_channels: int = 16


@dataclass(frozen=True)
class AdversaryConfig:
    """The patch discriminator, and how the losses weigh.

    `image_weight` is that of the L1 distance to the real image, or of the cycle back to it;
    `label_weight` that of the cycle of labels. `tissue_weight` weighs, in a CycleGAN, how far the
    mean grey of each class in what is drawn lies from that of all training images: cycles alone do
    not say which label is which grey. The discriminator sees a fake, or in half of the cases one of
    the last `pool` fakes.
    """

    channels: tuple[int, ...] = (16, 32, 64)
    adversarial_weight: float = 1.0
    image_weight: float = 10.0
    label_weight: float = 1.0
    tissue_weight: float = 10.0
    pool: int = 50


@dataclass(frozen=True)
class FitConfig:
    """Adam at a rate that falls to 0 over the last half of the steps; `precision` bf16 or fp32."""

    steps: int = 3000
    batch: int = 4
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    average: float = 0.995
    precision: str = "bf16"


@dataclass(frozen=True)
class TranslatorConfig:
    """One translator's training, whole. `kind` is one of `KINDS`.

    Of 2 `dimensions` it draws slices of three planes; of 3 whole scans, learning from `data.scans`
    and `data.pairs` alone.
    """

    name: str = "translator"
    kind: str = "spade"
    dimensions: int = 2
    seed: int = 20261130
    data: PairConfig = field(default_factory=PairConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    adversary: AdversaryConfig = field(default_factory=AdversaryConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    checkpoint_steps: int = 250


@dataclass(frozen=True)
class MaskConfig:
    """Where masks come from (as a run's `data.lesions`); smaller ones than `least_ml` are left."""

    lesions: tuple[str, ...] = ()
    held_out_lesions: tuple[str, ...] = ()
    held_out_every: tuple[int, ...] = ()
    least_ml: float = 0.5


@dataclass(frozen=True)
class MaskModelConfig:
    """A variational autoencoder of lesion masks, whole.

    `divergence_weight` weighs the Kullback-Leibler divergence, in nats a mask, against the
    cross-entropy summed over voxels; `dice_weight` the soft Dice loss, in the same unit.
    """

    name: str = "lesions"
    seed: int = 20261130
    channels: tuple[int, ...] = (12, 24, 48, 64)
    latent: int = 48
    divergence_weight: float = 1.0
    dice_weight: float = 200.0
    data: MaskConfig = field(default_factory=MaskConfig)
    fit: FitConfig = field(default_factory=lambda: FitConfig(1500, 16, 1e-3, (0.9, 0.999), 0.99))
    checkpoint_steps: int = 250


def bundled_configs(kind: type) -> tuple[str, ...]:
    """Name the bundled configurations of translators, or of generators of masks."""
    masks = kind is MaskModelConfig
    names = (path.stem for path in _folder().glob("*.toml"))
    return tuple(sorted(name for name in names if name.startswith("lesions") == masks))


def read_translator_config(source: Path | str) -> TranslatorConfig:
    """Read a translator's configuration: a TOML file, or a bundled one by name.

    Raises
    ------
    InputNotFoundError
        There is neither.
    UsageError
        A key or a value makes no sense.
    """
    config, path = _read(TranslatorConfig, source)
    settings = typing.cast(TranslatorConfig, config)
    _check_translator(settings, str(source))
    data = settings.data
    table = data.label_table
    if table.endswith(".toml"):
        table = _absolute(path, table)
    located = replace(
        data,
        slices=_absolute(path, data.slices),
        scans=_absolute(path, data.scans),
        pairs=_absolute(path, data.pairs),
        label_table=table,
    )
    return replace(settings, data=located)


def read_mask_config(source: Path | str) -> MaskModelConfig:
    """Read the configuration of a generator of masks, as `read_translator_config` does."""
    config, path = _read(MaskModelConfig, source)
    settings = typing.cast(MaskModelConfig, config)
    _check_fit(settings.fit, str(source))
    data = settings.data
    if not data.lesions or len(data.lesions) != len(data.held_out_every):
        raise UsageError(f"{source}: data.held_out_every needs an entry for each of data.lesions")
    if len(settings.channels) != 4 or min((*settings.channels, settings.latent)) < 1:
        raise UsageError(f"{source}: channels must be four numbers above 0, and latent one")
    lesions = tuple(_absolute(path, folder) for folder in data.lesions)
    return replace(settings, data=replace(data, lesions=lesions))


def translator_of(document: dict[str, Any], where: str) -> TranslatorConfig:
    """Build a translator's configuration from plain values."""
    return typing.cast(TranslatorConfig, build_section(TranslatorConfig, document, where))


def as_plain(config: TranslatorConfig | MaskModelConfig) -> dict[str, Any]:
    """Give a configuration as plain values."""
    return asdict(config)


def _folder() -> Path:
    return Path(str(resources.files("strokeseg.training.translation"))) / "configs"


def _read(kind: type, source: Path | str) -> tuple[object, Path]:
    known = bundled_configs(kind)
    path = _folder() / f"{source}.toml" if str(source) in known else Path(source)
    document = read_document(path, str(source), known)
    return build_section(kind, document, str(source)), path.parent


def _absolute(folder: Path, path: str) -> str:
    # Not Path.resolve(): a link to a folder stays what its owner calls it.
    return os.path.abspath(folder / path) if path else ""  # noqa: PTH100


def _check_translator(config: TranslatorConfig, where: str) -> None:
    if config.kind not in KINDS:
        raise UsageError(f"{where}: kind is {config.kind!r}; give {', '.join(KINDS)}")
    _check_fit(config.fit, where)
    data, generator = config.data, config.generator
    if config.dimensions not in (2, 3):
        raise UsageError(f"{where}: dimensions is {config.dimensions}; give 2 or 3")
    if config.dimensions == 3 and data.slices:
        raise UsageError(f"{where}: a translator of 3 dimensions learns from no data.slices")
    if not (data.slices or data.scans or data.pairs):
        raise UsageError(f"{where}: [data] names no slices, scans or pairs to learn from")
    channels = (*generator.channels, *config.adversary.channels, generator.label_channels)
    if len(generator.channels) < 2 or min(channels) < 1 or generator.noise_channels < 1:
        raise UsageError(f"{where}: channels must be above 0, at two levels or more")
    stride = 2 ** (len(generator.channels) - 1)
    if data.edge_vox < 8 * stride or data.edge_vox % stride:
        raise UsageError(f"{where}: data.edge_vox must be a multiple of {stride}, {8 * stride} up")
    for key, share in (("data.scan_share", data.scan_share), ("dropout", generator.dropout)):
        if not 0 <= share < 1:
            raise UsageError(f"{where}: {key} is {share:g}; give a share from 0 to below 1")
    if data.voxel_size_mm <= 0 or data.shift_vox < 0 or config.adversary.pool < 0:
        raise UsageError(f"{where}: data.voxel_size_mm must be above 0, others not below")


def _check_fit(fit: FitConfig, where: str) -> None:
    if fit.precision not in ("bf16", "fp32"):
        raise UsageError(f"{where}: fit.precision is {fit.precision!r}; give bf16 or fp32")
    if min(fit.steps, fit.batch) < 1 or not 0 <= fit.average < 1 or fit.learning_rate <= 0:
        raise UsageError(f"{where}: fit.steps, batch and learning_rate must be above 0, average <1")
