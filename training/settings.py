"""What a training run can be told: frozen dataclasses, one for each table of a configuration.

A checkpoint carries its configuration, and may be older than a field: a default is therefore what
the runs before the field did.
"""

from dataclasses import dataclass, field
from pathlib import Path

from strokeseg.training.slice_settings import PlanarConfig, SliceConfig

# `start_from = "model:NAME"` begins with a model, by a name that --model takes.
MODEL = "model:"


@dataclass(frozen=True)
class DataConfig:
    """Where heads, lesions and real images come from; `read_config` makes the paths absolute.

    `label_maps`, `soft_maps` and `pairs` are each a folder or a table (CSV or TSV); empty for none.
    `lesions` are folders of masks in MNI space. `held_out_*` are names (without extension) that
    training never sees, `*` allowed; `held_out_every` holds out every so-many-th mask of each
    lesion folder (0: none). `label_table` and `contrast_table` replace the bundled ones,
    `translators` are folders of `strokeseg train-translator`: sequences `translated:FOLDER`.
    `real_share` of the samples are real pairs, `slice_share` real slices (an `.npz`), `scan_share`
    real scans without stroke (a table), of which `paste_share` get a drawn lesion. Label maps in
    that table are heads to draw, too.
    """

    label_maps: str = ""
    lesions: tuple[str, ...] = ()
    held_out_maps: tuple[str, ...] = ("synthseg-15", "synthseg-16", "synthseg-17")
    held_out_lesions: tuple[str, ...] = ()
    held_out_every: tuple[int, ...] = ()
    voxel_size_mm: float = 2.0
    label_table: str = ""
    contrast_table: str = ""
    soft_maps: str = ""
    soft_maps_in_mni: bool = True
    pairs: str = ""
    held_out_pairs: tuple[str, ...] = ()
    real_share: float = 0.0
    slices: str = ""
    held_out_slices: tuple[str, ...] = ()
    slice_share: float = 0.0
    scans: str = ""
    held_out_scans: tuple[str, ...] = ()
    scan_share: float = 0.0
    paste_share: float = 0.6
    translators: tuple[str, ...] = ()

    @property
    def partly_known_share(self) -> float:
        """Share of the samples whose target leaves voxels unknown."""
        return self.real_share + self.slice_share + self.scan_share


@dataclass(frozen=True)
class LesionConfig:
    """How many lesions, how large, where, how faded, how softly stitched.

    A drawn or pasted lesion that differs less than `least_visible` from its tissue elsewhere (0:
    none, 1: no intensity in common; see `synthesis.visibility`) is none to the target. Without
    `rescale` a mask keeps its size (the paper), and `volume_ml` says nothing. The target is lesion
    where its weight is over `target_above`, `target_above_unfaded` where no field was drawn.
    """

    lesion_free_share: float = 0.1
    count_weights: tuple[float, ...] = (0.5, 0.2, 0.12, 0.08, 0.05, 0.05)
    rescale: bool = True
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
    target_above_unfaded: float = 0.2
    least_visible: float = 0.0


@dataclass(frozen=True)
class ContrastConfig:
    """How much of the paper's random mixture, how much of plausible sequences.

    `families` are the plausible sequences to draw from (empty: all of the table).
    `translated_share` of the drawn samples are painted by one of `data.translators`, a head in one
    of `translated_variants` ways. With `texture_per_class` each class's texture is smoothed by its
    own FWHM (the paper), else by the nearest of `texture_bank` evenly spread ones: that is quicker.
    """

    plausible_share: float = 0.85
    families: tuple[str, ...] = ()
    jitter: float = 0.25
    plausible_std: float = 9.0
    texture_std: float = 16.0
    texture_fwhm_vox: float = 2.0
    texture_bank: int = 3
    texture_per_class: bool = False
    uniform_lesion_share: float = 0.4
    translated_share: float = 0.0
    translated_variants: int = 4


@dataclass(frozen=True)
class AgeingConfig:
    """How often and how far ventricles widen and hyperintensities spread (`share` 0: never).

    Ventricles are smoothed by `reach_mm`; what exceeds a threshold is ventricle, or
    hyperintensity. A threshold is drawn from a range for the head, and differs within it by up to
    its spread, at 2 to `ventricle_points`, or half to all of `hyperintensity_points`, an axis.
    """

    share: float = 0.0
    reach_mm: float = 12.0
    ventricle_threshold: tuple[float, float] = (0.15, 0.65)
    ventricle_spread: float = 0.25
    ventricle_points: int = 5
    hyperintensity_threshold: tuple[float, float] = (0.15, 0.6)
    hyperintensity_spread: float = 0.5
    hyperintensity_points: int = 24


@dataclass(frozen=True)
class SpatialConfig:
    """Affine, elastic, flips and the crop.

    `elastic` is a fraction of the field of view: with `elastic_uniform` the largest shift of any
    control point (the paper), else a size that shrinks where points lie dense. `canvas_vox` is
    what is made and normalised before the crop is cut out of it (0, 0, 0: the crop itself), for
    networks that at test time see images normalised whole. `roam_share` of the crops lie anywhere
    in the head, neck and shoulders included; `cut_share` of the samples end early on one or two
    sides, by up to `cut_limit` of the crop. `small_share` of the samples that are no slices have a
    crop of `small_crop_vox`: a step that costs less (with a batch of one alone).
    """

    crop_vox: tuple[int, int, int] = (96, 96, 96)
    canvas_vox: tuple[int, int, int] = (0, 0, 0)
    rotation_deg: float = 15.0
    shear: float = 0.012
    zoom: float = 0.15
    elastic: float = 0.05
    elastic_points: int = 10
    elastic_uniform: bool = False
    flip_probability: tuple[float, float, float] = (0.5, 0.5, 0.5)
    wander_vox: tuple[float, float, float] = (8.0, 8.0, 8.0)
    roam_share: float = 0.0
    cut_share: float = 0.0
    cut_limit: float = 0.4
    small_share: float = 0.0
    small_crop_vox: tuple[int, int, int] = (64, 96, 64)


@dataclass(frozen=True)
class IntensityConfig:
    """The scanner's imperfections, in voxels of the working grid.

    `rim_share` of images have 1 to `rim_count` bright rims, `rim_depth_vox` deep, up to `rim_gain`
    times brighter in addition. `defect_share` of images have hot voxels, a hot line, or padding far
    below the darkest voxel.
    `clip_percentiles` of (0, 100) clips nothing; `normalisation` is one of
    `strokeseg.images.intensity`.
    """

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
    clip_percentiles: tuple[float, float] = (0.0, 100.0)
    strip_share: float = 0.4
    strip_erode_vox: int = 1
    strip_dilate_vox: int = 2
    normalisation: str = "foreground"
    rim_share: float = 0.0
    rim_count: int = 5
    rim_gain: float = 2.0
    rim_depth_vox: float = 4.0
    defect_share: float = 0.0


@dataclass(frozen=True)
class RealConfig:
    """Augmentation of real images: histogram equalisation and shift; bias and gamma as above."""

    equalise_share: float = 1.0
    shift_share: float = 0.5
    shift_points: int = 10


@dataclass(frozen=True)
class LossConfig:
    """Dice + cross-entropy; `tversky` weighs (false positives, false negatives) of the lesion.

    For the first `l2_steps` steps the loss is the squared distance of the logits to
    +-`l2_target`. `soft_target` trains on class shares instead of the strongest class.
    `empty_smooth_vox` smooths the lesion's Dice of samples without lesion.
    `coarse_weight` is the share of a coarser level's loss, halved from each to the next, where the
    network tells classes at several.
    """

    lesion_weight: float = 3.0
    lesion_dice_weight: float = 2.0
    tversky: tuple[float, float] = (0.5, 0.5)
    soft_target: bool = False
    l2_steps: int = 0
    l2_target: float = 5.0
    coarse_weight: float = 0.0
    empty_smooth_vox: float = 1.0


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW with polynomial decay, clipped gradients and an average of the weights.

    For `hold_share` of the steps the rate stays what it is after the warm-up.
    """

    steps: int = 20000
    warmup_steps: int = 200
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    decay_power: float = 0.9
    hold_share: float = 0.0
    clip_norm: float = 12.0
    batch: int = 1
    dropout: float = 0.0
    precision: str = "bf16"
    average: float = 0.999
    compile: bool = False


@dataclass(frozen=True)
class ValidationConfig:
    """The fixed validation set; `cases_in_run` of it are measured every `validation_steps`."""

    seed: int = 7
    cases: int = 105
    cases_in_run: int = 21
    crop_vox: tuple[int, int, int] = (96, 96, 96)


@dataclass(frozen=True)
class TrainConfig:
    """One training run, whole.

    `architecture` is "unet", the paper's, "half-resolution-unet", whose levels have
    `encoder_units` and `decoder_units`, or "three-plane-unet", which learns from slices (`planar`).
    `lesion_only` trains two classes, background and lesion. `start_from` is what a new run begins
    with: a checkpoint, whose averaged weights are taken, the folder of a model, or `model:NAME`.
    `validation_steps` of 0 measures nothing on the way.
    """

    name: str = "synth-open"
    seed: int = 20261120
    channels: tuple[int, ...] = (32, 64, 128, 256, 320, 320)
    architecture: str = "unet"
    encoder_units: tuple[int, ...] = ()
    decoder_units: tuple[int, ...] = ()
    lesion_only: bool = False
    start_from: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    lesion: LesionConfig = field(default_factory=LesionConfig)
    contrast: ContrastConfig = field(default_factory=ContrastConfig)
    ageing: AgeingConfig = field(default_factory=AgeingConfig)
    spatial: SpatialConfig = field(default_factory=SpatialConfig)
    intensity: IntensityConfig = field(default_factory=IntensityConfig)
    real: RealConfig = field(default_factory=RealConfig)
    slices: SliceConfig = field(default_factory=SliceConfig)
    planar: PlanarConfig = field(default_factory=PlanarConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    checkpoint_steps: int = 500
    validation_steps: int = 0


def is_model(start_from: str) -> bool:
    """Tell whether a run begins with a model rather than with a checkpoint, or with nothing."""
    return bool(start_from) and (start_from.startswith(MODEL) or Path(start_from).is_dir())
