"""Tell a single diffusion-weighted image from a raw series, by its b-values alone."""

from enum import Enum
from pathlib import Path

from strokeseg.images.file_names import image_stem

_LARGEST_B0 = 50.0
_ENDINGS = (".bval", ".bvals")


class Diffusion(Enum):
    """What a file of diffusion-weighted data holds."""

    IMAGE = "one image, such as a trace"
    SERIES = "many volumes, one per direction"
    UNWEIGHTED = "one image without diffusion weighting"


def diffusion_of(image: Path, inherited: Path | None = None) -> Diffusion:
    """Tell what a diffusion image holds from the b-values beside it; the image is not opened.

    Parameters
    ----------
    image : Path
        The image.
    inherited : Path, optional
        b-values that hold for it where it has none beside it.

    Returns
    -------
    Diffusion
        ``IMAGE`` where there are no b-values, or a single one; b-values that cannot be read are
        those of a series.
    """
    stem = image_stem(image.name) or image.name
    beside = [image.with_name(stem + ending) for ending in _ENDINGS]
    found = next((path for path in beside if path.exists()), inherited)
    if found is None:
        return Diffusion.IMAGE
    try:
        values = [float(value) for value in found.read_text().split()]
    except (OSError, ValueError):
        return Diffusion.SERIES
    if len(values) != 1:
        return Diffusion.SERIES
    return Diffusion.UNWEIGHTED if values[0] <= _LARGEST_B0 else Diffusion.IMAGE
