"""What a user can choose about a prediction, checked before any work is done."""

from dataclasses import asdict, dataclass, replace
from typing import Any, cast, get_args

from strokeseg.errors import UsageError
from strokeseg.models.config import FieldOfView
from strokeseg.models.fusion import Fusion, FusionRule


@dataclass(frozen=True)
class Options:
    """How to predict. None means what the model's config says.

    Parameters
    ----------
    reference
        The modality whose grid the results have; None for the first given, in the order of
        `MODALITIES`, others last.
    window
        Edge of the sliding window, in voxels of the working grid.
    overlap
        Fraction of a window that the next covers again, 0 to below 1.
    tta
        Whether to average over the 8 flips; models that are not meant for it are not.
    threshold
        Lesion probability from which a voxel is lesion, above 0 and below 1.
    min_volume_ml
        Lesions below this are left out.
    min_peak
        Lesions whose highest probability is below this are left out.
    brain_mask
        Whether a lesion must touch the model's own brain.
    uncertainty
        Whether entropy and the standard deviation over the flips are wanted.
    mni
        Whether the lesion is wanted in MNI152, too.
    filled
        Whether the T1w is wanted with its lesion filled, too.
    parts
        Whether the parts of the lesion are wanted, which a model with a second stage knows.
    stages
        With 1, a model's second stage is left out.
    strict
        Whether a scan that cannot be used ends the prediction. Else it is left out with a warning,
        unless it is the reference.
    b_value
        The shell of a diffusion series that the trace image is made of, in s/mm2.
    register
        Whether scans whose brain is 25 mm or 20 degrees off the reference's are moved onto it.
    register_always
        Whether those that are less far off are moved, too.
    field_of_view
        "brain" looks for the brain and sees that alone, "whole" sees all that a scan shows.
    fusion
        How several scans become one answer; see `strokeseg.models.fusion.Fusion`.
    weights
        How much a modality counts beside the others, as pairs of name and weight; 1 for the rest.

    Raises
    ------
    UsageError
        If a value is out of range.
    """

    reference: str | None = None
    window: int | None = None
    overlap: float = 0.5
    tta: bool = True
    threshold: float | None = None
    min_volume_ml: float | None = None
    min_peak: float | None = None
    brain_mask: bool | None = None
    uncertainty: bool = False
    strict: bool = True
    mni: bool = False
    filled: bool = False
    parts: bool = False
    stages: int = 2
    b_value: float = 1000.0
    register: bool = False
    register_always: bool = False
    field_of_view: str | None = None
    fusion: str | None = None
    weights: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        """Check every value."""
        if self.window is not None and not 16 <= self.window <= 1024:
            raise UsageError(f"--window is {self.window}: give 16 to 1024 voxels, such as 192")
        if not 0 <= self.overlap < 1:
            raise UsageError(f"--overlap is {self.overlap:g}: give 0 to below 1, such as 0.5")
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise UsageError(f"--threshold is {self.threshold:g}: give above 0 and below 1")
        if self.min_volume_ml is not None and not 0 <= self.min_volume_ml < 1e6:
            raise UsageError(f"--min-volume-ml is {self.min_volume_ml:g}: give 0 to below 1000000")
        if self.min_peak is not None and not 0 <= self.min_peak < 1:
            raise UsageError(f"--min-peak is {self.min_peak:g}: give 0 to below 1, such as 0.5")
        if self.stages not in (1, 2):
            raise UsageError(f"--stages is {self.stages}: give 1 or 2")
        if not 50 < self.b_value <= 20_000:
            raise UsageError(f"--b-value is {self.b_value:g}: give above 50 to 20000, such as 1000")
        if self.field_of_view not in (None, *get_args(FieldOfView)):
            raise UsageError(f"--field-of-view is {self.field_of_view!r}: give brain or whole")
        # Refuses what no fusion has.
        self.fused(Fusion())

    @property
    def registers(self) -> bool:
        """Whether scans may be moved."""
        return self.register or self.register_always

    @property
    def needs_simpleitk(self) -> bool:
        """Whether anything is registered."""
        return self.registers or self.mni

    def fused(self, own: Fusion) -> Fusion:
        """Give the fusion of a model, changed as these options ask for.

        Raises
        ------
        UsageError
            If there is no such fusion, or a weight is out of range.
        """
        rule = own.rule if self.fusion is None else cast(FusionRule, self.fusion)
        return replace(own, rule=rule, weights={**own.weights, **dict(self.weights)})

    def as_record(self) -> dict[str, Any]:
        """Give the options as plain values."""
        return asdict(self) | {"weights": dict(self.weights)}
