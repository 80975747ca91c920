"""What files of images are called: their endings, and the halves of .img/.hdr pairs."""

import re

_ENDING = re.compile(
    r"\.(?:(?P<kind>nii|mgz|mgh|img|hdr)(?P<packed>\.gz)?|(?P<itk>nrrd|nhdr|mha|mhd))$",
    re.IGNORECASE,
)
_OTHER_HALF = {"img": "hdr", "hdr": "img"}


def is_image_name(name: str) -> bool:
    """Tell whether a file's name ends as that of an image does."""
    return _ENDING.search(name) is not None


def image_stem(name: str) -> str | None:
    """Give a file's name without the ending of an image; None if it has none such."""
    stem = without_ending(name)
    return stem if stem != name else None


def without_ending(name: str) -> str:
    """Give a file's name without the ending of an image, whether it has one or not."""
    return _ENDING.sub("", name)


def is_mgh_name(name: str) -> bool:
    """Tell whether a file's name is that of an image of FreeSurfer's kind, packed or not."""
    return _kind(name) in ("mgz", "mgh")


def is_itk_name(name: str) -> bool:
    """Tell whether a file's name is that of an image of ITK's own kinds, NRRD or MetaImage."""
    match = _ENDING.search(name)
    return match is not None and match["itk"] is not None


def is_header_name(name: str) -> bool:
    """Tell whether a file's name is that of the header of an .img/.hdr pair."""
    return _kind(name) == "hdr"


def other_half_names(name: str) -> tuple[str, ...]:
    """Give what the other file of an .img/.hdr pair can be called, the likeliest first.

    Both are packed by gzip, or one of them; none for an image that is one file.
    """
    match = _ENDING.search(name)
    if match is None or (match["kind"] or "").lower() not in _OTHER_HALF:
        return ()
    other = _OTHER_HALF[match["kind"].lower()]
    other = other.upper() if match["kind"].isupper() else other
    packed = ("", ".gz") if match["packed"] is None else (".gz", "")
    return tuple(f"{name[: match.start()]}.{other}{tail}" for tail in packed)


def _kind(name: str) -> str | None:
    match = _ENDING.search(name)
    return None if match is None or match["kind"] is None else match["kind"].lower()
