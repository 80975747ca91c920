"""What a word in a file's name means: a modality, a mask, a manner of scanning, or nothing."""

import re
from functools import lru_cache
from typing import Literal, NamedTuple

Kind = Literal["modality", "weak", "other", "mask", "derived", "brain", "plain", "link"]


class Meaning(NamedTuple):
    """What a word says.

    Attributes
    ----------
    kind : str
        ``modality``; ``weak``, a modality if no other word names one; ``other``, no input of the
        modalities in `value`; ``mask``, perhaps of a lesion; ``derived``, made from a scan;
        ``brain``, a mask that has it is of the brain; ``plain``, how a scan was made; ``link``,
        between a scan and the one that it was registered to.
    value : str
        The modality, or the modalities with spaces between; ``map`` and ``plain`` for words that
        can also say how a scan was made.
    """

    kind: Kind
    value: str = ""


_HOW = r"(?:[23]d|ax|tra|sag|cor)?"
_SCAN = r"(?:wi?|[23]d|se|tse|fse|brain)"
_ALL = "t1 flair t2 dwi adc pd ct"

# The first that fits a whole word counts. Words are lower case and letters and digits alone.
_WORDS: tuple[tuple[Kind, str, str], ...] = (
    ("modality", "t1", rf"{_HOW}t1"),
    ("modality", "t1", rf"{_HOW}t1(?:{_SCAN}|mprage|mpr|i?r?f?spgr|bravo|tfe|tfl)(?:[23]d|\d)?"),
    ("modality", "t1", rf"{_HOW}(?:me)?mprage\d?|i?r?f?spgr|bravo"),
    ("modality", "t2", rf"{_HOW}t2(?:{_SCAN}\d?)?"),
    ("modality", "flair", rf"{_HOW}(?:t2w?)?flair(?:[23]d|fs|brain|\d)?|t?2?tirm|darkfluid"),
    ("modality", "dwi", rf"{_HOW}(?:iso|ep2d)?dwi(?:iso|tracew?|b[1-9]\d{{2,3}}|\d)?|tracew?\d?"),
    ("modality", "dwi", r"b(?:[5-9]\d\d|[1-3]\d\d\d)"),
    ("modality", "adc", rf"{_HOW}(?:dwi)?adc(?:maps?|\d)?"),
    ("modality", "pd", r"pd(?:wi?)?"),
    ("modality", "ct", r"(?:n|nc|ne)?ct"),
    ("weak", "t1", r"mpr|tfe|tfl"),
    ("weak", "t2", r"tse|fse"),
    ("weak", "dwi", r"diffusion"),
    ("other", _ALL, r"locali[sz]er|scout|survey|phase|sbref"),
    ("other", "t1 t2 pd", r"star|swi|gre|hemo"),
    ("other", "t1 t2 pd map", r"maps?"),
    ("other", "dwi adc", r"eadc|colfa|fa|tensor"),
    ("other", "dwi", r"b0+"),
    ("other", "ct", r"cta|ctp|perfusion|angio"),
    ("derived", "", r"labels?|[a-z0-9]*seg|segmentations?|aparc|pve|prob|probabilit(?:y|ies)"),
    ("derived", "", r"probmap|uncertainty|tpm|rois?|annotations?"),
    ("derived", "", r"(?:brain|head|skull|tissue|deface|wm|gm|csf)masks?"),
    ("mask", "", r"[a-z0-9]*masks?|msk|(?:t1|t2|flair|dwi)?lesions?[a-z]*|infarct(?:s|ion)?"),
    ("mask", "", r"truth|groundtruth"),
    ("brain", "", r"brain|bet|gm|wm|csf|tissues?|ventricles?|head|skull"),
    ("plain", "", r"[23]d|ax|axial|tra|transversal|sag|sagittal|cor|coronal|iso|isotropic"),
    ("plain", "", r"n4|preproc|stripped|masked|image|scan|weighted|w|coreg|registered|ep2d|diff"),
    ("link", "", r"to|in|on|2"),
    ("link", "plain", r"reg"),
)
_COMPILED = tuple((re.compile(regex), Meaning(kind, value)) for kind, value, regex in _WORDS)


@lru_cache(maxsize=4096)
def meaning_of(word: str) -> Meaning | None:
    """Tell what a word of a file's name means, in capitals or not; None if nothing is known."""
    lower = word.lower()
    return next((meaning for regex, meaning in _COMPILED if regex.fullmatch(lower)), None)
