"""Advice that costs no case: a pattern that settles which of several scans is meant."""

import re
from collections.abc import Sequence

from strokeseg.cohort.cases.patterns import Pattern, compile_patterns

# Copies that were made from a scan, or show it after contrast: never what is advised.
_COPY = re.compile(
    r"(?<![a-z0-9])(?:space|gd|gad|ce|post|contrast|kontrast|[+]?c|mni|mni152\w*|norm\w*|warp\w*"
    r"|reg|registered|coreg\w*|resampled|bet|brain|stripped|n4|bias\w*|smooth\w*|den\w*)"
    r"(?![a-z0-9])|^(?:w|rw?|s?wm?|m)(?=[A-Z]|sub-)|(?i:t1|t2|flair|mprage)c?\+?(?:gd|ce|km)\b",
)


def telling_glob(
    files: Sequence[str], alike: Sequence[Sequence[str]], settled: Sequence[str]
) -> str | None:
    """Make a glob that claims one of a case's files, and keeps every other case.

    Parameters
    ----------
    files : sequence of str
        Candidates of a case.
    alike : sequence of sequences of str
        Those of every case that is as ambiguous, this one too.
    settled : sequence of str
        The files of the cases that have one candidate alone, which the glob has to claim.

    Returns
    -------
    str or None
        None where no such glob is found.
    """
    options = [
        (glob, compile_patterns({"t1": glob})[0], file)
        for file in sorted(files, key=_oddness)
        for glob in _globs(file, files)
    ]
    fitting = [
        (sum(_claims(pattern, case) != 1 for case in alike), glob)
        for glob, pattern, file in options
        if pattern.matches(file)
        and _claims(pattern, files) == 1
        and all(pattern.matches(other) for other in settled)
        and (not is_copy(file) or all(map(is_copy, files)))
    ]
    return min(fitting, key=lambda one: one[0])[1] if fitting else None


def is_copy(file: str) -> bool:
    """Tell whether a name says that a scan was made from another, or shows contrast medium."""
    name = file.rpartition("/")[2]
    return _COPY.search(name) is not None or _COPY.search(name.lower()) is not None


def _oddness(file: str) -> tuple[bool, int]:
    return is_copy(file), len(file)


def _claims(pattern: Pattern, files: Sequence[str]) -> int:
    return sum(pattern.matches(file) for file in files)


def _globs(file: str, files: Sequence[str]) -> list[str]:
    """Give globs that claim a file: by the end of its name or path, the shortest first."""
    name, names = file.rpartition("/")[2], [other.rpartition("/")[2] for other in files]
    globs = []
    for text, texts in ((name, names), (file, list(files))):
        start = _shared_start(texts)
        globs += ["*" + _escaped(text[start:])]
        stem, ending = text[start:].split(".", 1) if "." in text[start:] else (text[start:], "")
        words = re.split(r"(?<=[_-])", stem)
        globs += [
            f"*{_escaped(''.join(words[at:]))}.{_escaped(ending)}" for at in range(len(words))
        ][::-1]
    # Numbers of people differ, names of files do not: sub-??_T1w.nii.gz.
    return [*globs, "*" + re.sub(r"(?<![Tt])\d", "?", _escaped(name)), _escaped(name)]


def _escaped(text: str) -> str:
    return text.replace("[", "[[]")


def _shared_start(texts: Sequence[str]) -> int:
    """Tell how many characters all have in common, back to where a word begins."""
    length = 0
    for letters in zip(*texts, strict=False):
        if len(set(letters)) > 1:
            break
        length += 1
    while length and texts[0][length - 1].isalnum():
        length -= 1
    return max(length - 1, 0) if length else 0
