"""Tell what an image shows from its name, and which part of the name says whose it is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from strokeseg.cohort.cases.lexicon import Meaning, meaning_of
from strokeseg.images.file_names import without_ending

Role = Literal["scan", "mask", "derived", "other", "unknown"]

# Names of people, sessions and spaces in BIDS's manner say nothing about the modality.
_NAMING = r"(?<![^\W_])(?:sub|ses|space|site|group)-[^\W_]+"
_WORD = re.compile(rf"({_NAMING})|dark[\W_]?fluid|[^\W_]+", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[^\WA-Z_])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BIDS = re.compile(
    r"(sub-[A-Za-z0-9]+(?:_ses-[A-Za-z0-9]+)?)((?:_[A-Za-z]+-[A-Za-z0-9+]+)*)_([A-Za-z0-9]+)"
)
_SPM_TISSUE = re.compile(r"(?:m?w|r|rw)?c[1-6](?:[a-z]{0,2}[A-Z]|sub-)")
_LESION_LABELS = ("l", "lesion")
_PARTS_OF = {"adc": {"adc", "dwi"}, "flair": {"flair", "t2"}}


@dataclass(frozen=True)
class Reading:
    """What a file's name says.

    Attributes
    ----------
    role : str
        ``scan``; ``mask``, perhaps of a lesion; ``derived``, made from a scan; ``other``, known and
        no input; ``unknown``.
    modality : str or None
        Of a scan.
    case : str
        What is left of the name: whose it is. Empty if nothing is left.
    """

    role: Role
    modality: str | None
    case: str


@dataclass(frozen=True)
class _Token:
    text: str
    start: int
    end: int
    meaning: Meaning | None


def read_name(name: str) -> Reading:
    """Tell what a file shows from its name, without its folder, with or without its ending.

    A name in BIDS's form is read as BIDS has it: the suffix decides, and the case is subject and
    session. Another is read word by word: ``adc`` counts before ``dwi`` and that before ``t1``,
    ``t2_flair`` is FLAIR, ``flair_to_t1`` is FLAIR; else the last word that names a modality.
    """
    stem = without_ending(name)
    strict = _BIDS.fullmatch(stem)
    if strict:
        return _read_bids(strict[1], strict[2], strict[3])
    tokens = _without_targets(_tokens(stem))
    meanings = [token.meaning for token in tokens if token.meaning]
    role, modality = _decide(meanings)
    if role == "scan" and _SPM_TISSUE.match(stem):
        role, modality = "derived", None
    if role in ("mask", "derived"):
        dropped = {"modality", "weak", "mask", "derived", "brain", "plain"}
        drop = [bool(t.meaning and t.meaning.kind in dropped) for t in tokens]
    else:
        drop = [_says(token, modality) for token in tokens]
    return Reading(role, modality, _rest(stem, tokens, drop))


def case_of_claimed(name: str, modality: str, wild: Sequence[tuple[int, int]]) -> str:
    """Tell whose a file is that a pattern claims: what its wildcards stand for, less the modality.

    Parameters
    ----------
    name : str
        The file's name.
    modality : str
        What the pattern says that it is.
    wild : sequence of (start, end)
        Where in the name the pattern has wildcards.
    """
    stem = without_ending(name)
    strict = _BIDS.fullmatch(stem)
    if strict:
        return strict[1]
    tokens = _without_targets(_tokens(stem))
    drop = [
        _says(token, modality)
        or not any(start <= token.start and token.end <= end for start, end in wild)
        for token in tokens
    ]
    return _rest(stem, tokens, drop)


def _read_bids(case: str, entities: str, suffix: str) -> Reading:
    """Read a name that is in BIDS's form."""
    pairs = [entity.split("-", 1) for entity in entities.split("_") if entity]
    last = meaning_of(suffix)
    meanings = [last] if last else []
    for key, value in pairs:
        meaning = meaning_of(value)
        if key == "label":
            is_lesion = value.lower() in _LESION_LABELS and suffix in ("mask", "roi")
            meanings = [Meaning("mask" if is_lesion else "derived")]
        elif key == "part" and value != "mag":
            return Reading("other", None, case)
        elif key in ("rec", "acq", "desc") and meaning:
            of_dwi = last == Meaning("modality", "dwi") and meaning.kind in ("modality", "other")
            if meaning.kind == "brain" or (of_dwi and {"dwi", "adc"} & set(meaning.value.split())):
                meanings.append(meaning)
    return Reading(*_decide(meanings), case)


def _tokens(stem: str) -> list[_Token]:
    """Split a name at everything but letters and digits, and at capitals where that tells more."""
    tokens = []
    for match in _WORD.finditer(stem):
        start, end = match.span()
        if match[1]:
            is_space = match[1].lower().startswith("space")
            tokens.append(_Token(match[0], start, end, Meaning("plain") if is_space else None))
            continue
        whole = meaning_of(re.sub(r"[\W_]", "", match[0]))
        pieces = _CAMEL.split(match[0])
        if whole or not any(meaning_of(piece) for piece in pieces):
            tokens.append(_Token(match[0], start, end, whole))
            continue
        for piece in pieces:
            tokens.append(_Token(piece, start, start + len(piece), meaning_of(piece)))
            start += len(piece)
    return tokens


def _without_targets(tokens: list[_Token]) -> list[_Token]:
    """Take the meaning from a modality that only says where another scan was registered to."""
    found = list(tokens)
    for at in range(1, len(tokens) - 1):
        before, link, after = (token.meaning for token in tokens[at - 1 : at + 2])
        if not (before and link and after) or link.kind != "link" or after.kind != "modality":
            continue
        if before.kind in ("modality", "weak", "brain"):
            for place in (at, at + 1):
                found[place] = replace(tokens[place], meaning=Meaning("plain"))
    return found


def _decide(meanings: Sequence[Meaning]) -> tuple[Role, str | None]:
    """Weigh what the words of a name say."""
    kinds = {meaning.kind for meaning in meanings}
    if "derived" in kinds or {"mask", "brain"} <= kinds:
        return "derived", None
    if "mask" in kinds:
        return "mask", None
    named = [m.value for m in meanings if m.kind == "modality"]
    named = named or [m.value for m in meanings if m.kind == "weak"]
    ruled_out = {word for m in meanings if m.kind == "other" for word in m.value.split()}
    if not named:
        return ("other" if ruled_out else "unknown"), None
    diffusion = [value for value in named if value in ("dwi", "flair")]
    modality = "adc" if "adc" in named else (diffusion or named)[-1]
    return ("other", None) if modality in ruled_out else ("scan", modality)


def _says(token: _Token, modality: str | None) -> bool:
    """Tell whether a word is about the scan, not about whose it is."""
    meaning = token.meaning
    if meaning is None:
        return False
    if meaning.kind in ("modality", "other", "link"):
        own = _PARTS_OF.get(modality or "", {modality})
        return bool((own | {"map", "plain"}) & set(meaning.value.split()))
    return meaning.kind in ("weak", "plain", "brain")


def _rest(stem: str, tokens: Sequence[_Token], drop: Sequence[bool]) -> str:
    """Join the words that are kept, each with what stood before it."""
    rest, before = "", 0
    for token, dropped in zip(tokens, drop, strict=True):
        if not dropped:
            rest += (stem[before : token.start] if rest else "") + token.text
        before = token.end
    return rest
