"""Copies that lie beside a scan: what dcm2niix and downloads leave, one of which is taken.

dcm2niix writes ``_Tilt`` and ``_Eq`` beside a scan whose gantry was tilted or whose slices are not
evenly spaced: those have the right geometry. Letters behind a number (``_5a``) are further parts
of one series, and ``(1)`` is a second download: there the plain file is taken.
"""

import re
from collections.abc import Mapping, Sequence

from strokeseg.images.file_names import without_ending

TWINS = "copies of one scan: one was taken"
_MADE_RIGHT = re.compile(r"_(?:Tilt|Eq)(?:_(?:Tilt|Eq))?(?:_?\d+)?$")
_SECOND = re.compile(r"(?:[ _]?\(\d+\)|[ _-]copy(?:[ _]?\d+)?|(?<=\d)[a-z])$", re.IGNORECASE)


def without_twins(files: Sequence[str]) -> tuple[list[str], Mapping[str, str]]:
    """Leave out copies that a converter or a download left beside a file.

    Parameters
    ----------
    files : sequence of str
        Paths of images.

    Returns
    -------
    files, left : list of str, mapping
        What is left, and which file was taken for each that was left out.
    """
    stems = {without_ending(file): file for file in files}
    groups: dict[str, list[str]] = {}
    for stem in stems:
        base = _base(stem, stems)
        groups.setdefault(base, []).append(stem)
    left: dict[str, str] = {}
    for group in groups.values():
        best = min(group, key=_rank)
        left |= {stems[stem]: stems[best] for stem in group if stem != best}
    return [file for file in files if file not in left], left


def plain_name(file: str) -> str:
    """Give a file's name without what a converter says of its geometry."""
    stem = without_ending(file)
    return _MADE_RIGHT.sub("", stem) + file[len(stem) :]


def _base(stem: str, there: Mapping[str, str]) -> str:
    """Give the plain name of a copy; its own where no plain file lies beside it."""
    for pattern in (_MADE_RIGHT, _SECOND):
        match = pattern.search(stem)
        if match and stem[: match.start()] in there:
            return _base(stem[: match.start()], there)
    return stem


def _rank(stem: str) -> tuple[bool, bool, int]:
    """Say how late a file is to be taken: right geometry first, then plain names."""
    right = _MADE_RIGHT.search(stem)
    both = bool(right and {"Tilt", "Eq"} <= set(re.findall("Tilt|Eq", right[0])))
    return not both and not right, not both, len(stem)
