"""`--pattern flair='*flair*.nii.gz'`: which file is which, as the user says."""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from strokeseg.errors import UsageError
from strokeseg.images.modalities import MODALITIES

_WILD = re.compile(r"(\*+|\?|\[!?\]?[^\]]*\])")


@dataclass(frozen=True)
class Pattern:
    """A glob that claims files for a modality.

    Attributes
    ----------
    modality : str
        One of `strokeseg.images.modalities.MODALITIES`.
    glob : str
        As `fnmatch` has it, capitals told apart; ``*`` goes over slashes too. It is held against
        the path in the case's folder and against the name alone; with ``./`` before it, against
        the path alone.
    regex : re.Pattern
        The same, with a group for each wildcard.
    """

    modality: str
    glob: str
    regex: re.Pattern[str]

    def matches(self, relative: str) -> bool:
        """Tell whether it claims a file, by its path within the case's folder or by its name."""
        texts = {relative, relative.rpartition("/")[2]}
        if self.glob.startswith("./"):
            texts = {relative}
        return any(self.regex.fullmatch(text) for text in texts)

    def wild(self, name: str) -> tuple[tuple[int, int], ...]:
        """Give start and end of what its wildcards stand for in a name that it claims."""
        match = self.regex.fullmatch(name)
        return tuple(match.span(group) for group in range(1, match.re.groups + 1)) if match else ()


def parse_pattern(text: str) -> tuple[str, str]:
    """Read one `--pattern`, such as ``flair=*flair*.nii.gz``: modality and glob.

    Raises
    ------
    UsageError
        If it is not MODALITY=GLOB, or the modality is not known.
    """
    name, separator, glob = text.partition("=")
    modality, glob = name.strip().lower(), glob.strip()
    if not separator or not glob:
        raise UsageError(
            f"--pattern {text}: give MODALITY='GLOB', such as --pattern flair='*flair*.nii.gz'"
        )
    if modality not in MODALITIES:
        raise UsageError(
            f"--pattern {text}: {modality or 'nothing'} is no modality; "
            f"choose from {', '.join(MODALITIES)}"
        )
    return modality, glob


def parse_patterns(texts: Sequence[str]) -> dict[str, str]:
    """Read every `--pattern`: glob by modality.

    Raises
    ------
    UsageError
        If one cannot be read, or a modality is given twice.
    """
    globs: dict[str, str] = {}
    for text in texts:
        modality, glob = parse_pattern(text)
        if modality in globs:
            raise UsageError(
                f"--pattern {text}: {modality} was given as '{globs[modality]}' already; "
                "give one glob per modality"
            )
        globs[modality] = glob
    return globs


def compile_patterns(globs: Mapping[str, str]) -> tuple[Pattern, ...]:
    """Make patterns that can be matched from globs by modality."""
    return tuple(
        Pattern(modality, glob, _regex(glob.removeprefix("./"))) for modality, glob in globs.items()
    )


def _regex(glob: str) -> re.Pattern[str]:
    """Translate a glob, with a group around each wildcard."""
    pieces = []
    for piece in _WILD.split(glob):
        if piece.startswith("*"):
            pieces.append("(.*)")
        elif piece == "?":
            pieces.append("(.)")
        elif _WILD.fullmatch(piece):
            whole = fnmatch.translate(piece)  # (?s:...)\Z
            pieces.append(f"({whole[whole.index(':') + 1 : whole.rindex(')')]})")
        else:
            pieces.append(re.escape(piece))
    return re.compile("".join(pieces), re.DOTALL)
