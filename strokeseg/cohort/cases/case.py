"""What a cohort is made of: cases, and where each one's results go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from strokeseg.errors import StrokesegError

CohortKind = Literal["bids", "folder", "table"]


@dataclass(frozen=True)
class Case:
    """One case to segment.

    Attributes
    ----------
    name : str
        Unique in the cohort: sub-01, sub-01_ses-02, the folder's name, or the table's.
    images : mapping
        File by modality (t1, flair, t2, dwi, adc, pd, ct).
    folder : str
        Where results go: a POSIX path below the cohort's output folder, never out of it.
    prefix : str
        Start of the results' names.
    truth : Path or None
        A mask drawn by hand, where there is one.
    runs : mapping
        The further runs by modality, where the mean of all of them is taken.
    sources : mapping
        How sidecars name the inputs, by modality, as BIDS URIs; by their paths where empty.
    fault : StrokesegError or None
        Why it cannot be done: its line of a table or its folder is wrong. The others can.
    """

    name: str
    images: Mapping[str, Path]
    folder: str
    prefix: str
    truth: Path | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    runs: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    fault: StrokesegError | None = None

    @property
    def further(self) -> dict[str, Path]:
        """The runs that are averaged with the first, by modality and number."""
        return {
            f"{name} ({number})": path
            for name, paths in self.runs.items()
            for number, path in enumerate(paths, start=2)
        }


@dataclass(frozen=True)
class Cohort:
    """All cases of an input, sorted by name, and what kind of input it was.

    `notes` are lines for the user about what was left out, and why.
    """

    kind: CohortKind
    root: Path
    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()
