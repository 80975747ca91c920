"""Which of several scans of a contrast is meant, by the entities of their names in BIDS."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strokeseg.errors import UsageError
from strokeseg.files.json_files import read_json
from strokeseg.images.file_names import without_ending
from strokeseg.images.modalities import MODALITIES

# Filter files use the long words, names the short ones.
_SHORT = {
    "acquisition": "acq",
    "reconstruction": "rec",
    "session": "ses",
    "subject": "sub",
    "direction": "dir",
    "ceagent": "ce",
}
_ENTITY = re.compile(r"[A-Za-z]+")
_OF_FILES = {"t1w": "t1", "t2w": "t2", "pdw": "pd"}
_PASSED = ("datatype", "extension", "scope", "invalid_filters")
EVERY, ABSENT, ANY = "", "none", "*"


@dataclass(frozen=True)
class EntityFilter:
    """What entities the scans of a contrast have to have.

    Parameters
    ----------
    wanted : mapping
        By contrast, or ``""`` for every one: by short entity the labels that will do; ``none`` for
        names without it, ``*`` for any label.
    """

    wanted: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)

    def keeps(self, modality: str, file: str) -> bool:
        """Tell whether a scan of a contrast has what is wanted."""
        stem = without_ending(file.rpartition("/")[2])
        *pairs, suffix = stem.split("_")
        have = dict(pair.split("-", 1) for pair in pairs if "-" in pair) | {"suffix": suffix}
        rules = [*self.wanted.get(EVERY, {}).items(), *self.wanted.get(modality, {}).items()]
        return all(_fits(have.get(entity), labels) for entity, labels in rules)


def _fits(label: str | None, wanted: Sequence[str]) -> bool:
    if label is None:
        return ABSENT in wanted
    return ANY in wanted or any(_plain(label) == _plain(one) for one in wanted)


def _plain(label: str) -> str:
    """Give a label as it is compared: numbers without zeros before them."""
    return str(int(label)) if label.isdecimal() else label


def read_filter(path: Path | None, options: Mapping[str, Sequence[str]]) -> EntityFilter:
    """Read a filter file, as fMRIPrep has it, and the entities of a command line.

    Parameters
    ----------
    path : Path or None
        JSON: by contrast (``t1w``, ``flair``, ...), the wanted entities; ``null`` for none.
    options : mapping
        By short entity, what was given: LABEL for every contrast, or NAME=LABEL for one.

    Raises
    ------
    UsageError
        The file or an option says what cannot be meant.
    InputNotFoundError, DataError
        The file cannot be read.
    """
    wanted: dict[str, dict[str, tuple[str, ...]]] = {}
    for name, rules in ({} if path is None else read_json(path)).items():
        modality = _OF_FILES.get(name.lower(), name.lower())
        if modality in MODALITIES:
            wanted[modality] = _rules(rules, f"{path}: {name}")
    for entity, given in options.items():
        for text in given:
            name, separator, label = text.partition("=")
            modality, label = (name.lower(), label) if separator else (EVERY, text)
            if not label or modality not in (EVERY, *MODALITIES):
                raise UsageError(
                    f"--{entity} {text}: give LABEL or NAME=LABEL, such as t1=mprage; none for "
                    "scans without it"
                )
            rules = wanted.setdefault(modality, {})
            rules[entity] = (*rules.get(entity, ()), label.removeprefix(f"{entity}-"))
    return EntityFilter(wanted)


def _rules(rules: object, where: str) -> dict[str, tuple[str, ...]]:
    """Read what a filter file says of a contrast."""
    if not isinstance(rules, Mapping):
        raise UsageError(f"{where} is no mapping of entities: give it as fMRIPrep has it")
    found = {}
    for key, value in rules.items():
        if key in _PASSED:
            continue
        entity = _SHORT.get(str(key), str(key))
        if not _ENTITY.fullmatch(entity):
            raise UsageError(f"{where}: {key!r} is no entity of BIDS")
        found[entity] = _labels(value, f"{where}, {key}")
    return found


def _labels(value: Any, where: str) -> tuple[str, ...]:  # noqa: ANN401 - whatever JSON can hold
    values: Iterable[Any] = value if isinstance(value, list) else [value]
    labels = tuple(ABSENT if one is None else str(one) for one in values)
    if not labels or any(isinstance(one, Mapping | list) for one in values):
        raise UsageError(f"{where}: give a label, several, or null for scans without it")
    return labels


def read_ignored(root: Path) -> tuple[tuple[re.Pattern[str], bool], ...]:
    """Read ``.bidsignore``: what to leave out, as ``.gitignore`` has it; in their order.

    Gives regular expressions of paths below `root`, and whether each leaves out or takes back.
    """
    try:
        lines = (root / ".bidsignore").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    rules = []
    for text in lines:
        line = text.strip()
        if line and not line.startswith("#"):
            takes_back = line.startswith("!")
            rules.append((_regex(line.removeprefix("!")), not takes_back))
    return tuple(rules)


def is_ignored(path: str, rules: Iterable[tuple[re.Pattern[str], bool]]) -> bool:
    """Tell whether a path below the dataset is to be left out; the last rule that fits decides."""
    ignored = False
    for regex, leaves_out in rules:
        if regex.fullmatch(path):
            ignored = leaves_out
    return ignored


def _regex(glob: str) -> re.Pattern[str]:
    """Turn a line of ``.bidsignore`` into what fits the path itself and all below it."""
    body = glob.strip("/")
    anywhere = "" if "/" in glob.rstrip("/") else "(?:.*/)?"
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", body)
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    told = "".join(words.get(piece, re.escape(piece)) for piece in pieces)
    return re.compile(f"{anywhere}{told}(?:/.*)?", re.DOTALL)
