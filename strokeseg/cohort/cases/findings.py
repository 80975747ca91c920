"""How findings are told: lists that stay short, scans that are ambiguous, what was left out."""

from dataclasses import dataclass, field

from strokeseg.cohort.cases.hints import telling_glob
from strokeseg.errors import DataError
from strokeseg.phrases import cut_short


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
    """What came up while looking for cases: doubts, which end the search, and notes.

    `raw` are series of many diffusion volumes where there is nothing else, and `settled`
    the files, by modality, of the cases that have one scan alone.
    """

    ambiguities: list[Ambiguity] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    settled: dict[str, list[str]] = field(default_factory=dict)
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
        settle = f"{self._hint(self.ambiguities[0])}{hint}"
        raise DataError(f"{where}: more than one scan could be meant: {told}; {settle}")

    def fault(self, case: str) -> DataError:
        """Give why a case that is ambiguous cannot be done, where others can."""
        own = [one for one in self.ambiguities if one.case == case]
        # Of all that are ambiguous so, one hint, as one pattern holds for them all.
        first = next(one for one in self.ambiguities if one.modality == own[0].modality)
        return DataError(f"{'; '.join(map(_told, own))}; {self._hint(first)}")

    def _hint(self, first: Ambiguity) -> str:
        """Say how the user can settle it, on the names of an ambiguity."""
        alike = [one.files for one in self.ambiguities if one.modality == first.modality]
        glob = telling_glob(first.files, alike, self.settled.get(first.modality, ()))
        if glob is None:
            return "list the cases in a table"
        what = "choose by" if first.glob is None else "narrow it to"
        return f"{what} --pattern {first.modality}='{glob}' or alike, or list the cases in a table"


def _told(ambiguity: Ambiguity) -> str:
    files = cut_short(ambiguity.files, 4, between=" or ")
    by = f" (--pattern '{ambiguity.glob}')" if ambiguity.glob is not None else ""
    return f"{ambiguity.case}: {ambiguity.modality} is {files}{by}"
