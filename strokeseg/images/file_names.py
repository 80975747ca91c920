"""What files of images are called."""

import re

_IMAGE_ENDINGS = re.compile(r"\.(nii\.gz|nii|mgz|mgh|img\.gz|img|hdr\.gz|hdr)$", re.IGNORECASE)

_ENDING = re.compile(r"\.(?:nii|mgz|mgh|img|hdr)(?:\.gz)?$", re.IGNORECASE)


def is_image_name(name: str) -> bool:
    """Tell whether a file's name ends as that of an image does."""
    return _IMAGE_ENDINGS.search(name) is not None


def image_stem(name: str) -> str | None:
    """Give a file's name without the ending of an image; None if it has none such."""
    stem = _ENDING.sub("", name)
    return stem if stem != name else None
