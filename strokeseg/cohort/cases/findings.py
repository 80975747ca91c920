"""How findings are told: lists that stay short, scans that are ambiguous, what was left out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from strokeseg.cohort.cases.patterns import compile_patterns
from strokeseg.errors import DataError

MOST_SHOWN = 10


def cut_short(items: Iterable[str], most: int = MOST_SHOWN, *, between: str = ", ") -> str:
    """Join the first items, and say how many more there are."""
    every = list(items)
    stop = "; " if between == "; " else ", "
    more = f"{stop}and {len(every) - most} more" if len(every) > most else ""
    return between.join(every[:most]) + more


@dataclass(frozen=True)
class Ambiguity:
    """A modality of a case for which more than one file could be taken.

    `glob` is the pattern that claims them all, None if their names were read.
    """

    case: str
    modality: str
    files: tuple[str, ...]
    glob: str | None = None


@dataclass
class Findings:
    """What came up while looking for cases: doubts, which end the search, and notes."""

    ambiguities: list[Ambiguity] = field(default_factory=list)
    _notes: dict[str, list[str]] = field(default_factory=dict)

    def note(self, reason: str, item: str) -> None:
        """Keep a thing that was left out, under its reason."""
        self._notes.setdefault(reason, []).append(item)

    def lines(self) -> tuple[str, ...]:
        """Give the notes, one line per reason."""
        return tuple(f"{reason}: {cut_short(items)}" for reason, items in self._notes.items())

    def check(self, where: str, hint: str = "") -> None:
        """Raise if anything is ambiguous.

        Raises
        ------
        DataError
            Shows the candidates of the first cases, and a pattern that settles it.
        """
        if not self.ambiguities:
            return
        told = cut_short(map(_told, self.ambiguities), between="; ")
        raise DataError(f"{where}: more than one scan could be meant: {told}; {self._hint()}{hint}")

    def _hint(self) -> str:
        """Say how the user can settle it, on the first ambiguity's own names."""
        first = self.ambiguities[0]
        glob = _telling_glob(first.files)
        what = "choose by" if first.glob is None else "narrow it to"
        return f"{what} --pattern {first.modality}='{glob}' or alike, or list the cases in a table"


def _told(ambiguity: Ambiguity) -> str:
    files = cut_short(ambiguity.files, 4, between=" or ")
    by = f" (--pattern '{ambiguity.glob}')" if ambiguity.glob is not None else ""
    return f"{ambiguity.case}: {ambiguity.modality} is {files}{by}"


def _telling_glob(files: Sequence[str]) -> str:
    """Make a glob that claims one of the files alone, without the part that all have in common."""
    names = [file.rpartition("/")[2] for file in files]
    globs = [
        "*" + text[_shared_start(texts) :].replace("[", "[[]")
        for texts in (names, files)
        for text in texts
    ]
    claims = [
        sum(pattern.matches(file) for file in files)
        for pattern in (compile_patterns({"t1": glob})[0] for glob in globs)
    ]
    return globs[claims.index(min(claims))]


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
