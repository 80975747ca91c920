"""From the image files of one case to one file per modality."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from strokeseg.cohort.cases.diffusion import Diffusion, diffusion_of
from strokeseg.cohort.cases.entities import EntityFilter
from strokeseg.cohort.cases.findings import Ambiguity, Findings
from strokeseg.cohort.cases.image_names import read_name
from strokeseg.cohort.cases.patterns import Pattern
from strokeseg.cohort.cases.run_names import sorted_runs
from strokeseg.errors import UsageError
from strokeseg.images.diffusion_series import is_series
from strokeseg.images.file_names import image_stem
from strokeseg.images.modalities import order_modalities
from strokeseg.images.twins import TWINS, without_twins
from strokeseg.phrases import cut_short
from strokeseg.results.output_names import RECORD_ENDING, RESULT_FILES

_OWN_MASK = str(image_stem(RESULT_FILES["mask"].ending))
_RUNS = "of several runs the first was taken"
_MEAN = "the mean of several runs is taken, on the grid of the first"
RAW_DIFFUSION = "raw diffusion series (many volumes, with .bval) beside a DWI were left out"


@dataclass
class SortedImages:
    """The images of one case, sorted by what they are; paths are relative to its folder.

    Attributes
    ----------
    scans : dict
        Candidates by modality.
    masks : list
        What may be a lesion drawn by hand.
    raw : list
        Diffusion series of many volumes.
    rest : list
        Images whose names say nothing that could be used.
    passed : set
        Modalities that names tell, but for which the user's pattern decides.
    twins : mapping
        Copies that a converter left beside a file, and which of them was taken.
    runs : dict
        Further runs of the scan of a modality, where their mean is wanted.
    """

    scans: dict[str, list[str]] = field(default_factory=dict)
    masks: list[str] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)
    passed: set[str] = field(default_factory=set)
    twins: Mapping[str, str] = field(default_factory=dict)
    runs: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass
class Sorter:
    """Sorts files by the user's patterns, and by their names for the other modalities.

    `entities` are what names in BIDS have to have. `averages` says whether the mean of several runs
    is wanted, not the first. `seen` are the files that it was asked about.
    """

    patterns: Sequence[Pattern] = ()
    entities: EntityFilter = field(default_factory=EntityFilter)
    averages: bool = False
    seen: list[str] = field(default_factory=list)
    _used: set[str] = field(default_factory=set)

    def claim(self, relative: str) -> Pattern | None:
        """Give the pattern that claims a file.

        Raises
        ------
        UsageError
            If two do.
        """
        self.seen.append(relative)
        claims = [pattern for pattern in self.patterns if pattern.matches(relative)]
        self._used.update(pattern.modality for pattern in claims)
        if len(claims) > 1:
            both = " and ".join(f"--pattern {p.modality}='{p.glob}'" for p in claims)
            raise UsageError(f"{relative} fits {both}; make them narrower")
        return claims[0] if claims else None

    def guesses(self, modality: str) -> bool:
        """Tell whether a modality is told by name, as no pattern is given for it."""
        return all(pattern.modality != modality for pattern in self.patterns)

    def unused(self) -> tuple[str, ...]:
        """Give the patterns that claimed nothing, as the user wrote them."""
        return tuple(
            f"--pattern {pattern.modality}='{pattern.glob}'"
            for pattern in self.patterns
            if pattern.modality not in self._used
        )

    def add(
        self, pile: SortedImages, folder: Path, relative: str, *, alone: bool = False
    ) -> Pattern | None:
        """Put a file on the pile where it belongs; gives the pattern that claims it.

        Parameters
        ----------
        pile : SortedImages
            The images of its case.
        folder : Path
            What `relative` is relative to.
        relative : str
            The file.
        alone : bool
            Whether it is the one image in its folder: then that folder's name can tell what it is,
            where its own says nothing.
        """
        claim = self.claim(relative)
        if claim:
            pile.scans.setdefault(claim.modality, []).append(relative)
            return claim
        *inside, name = relative.split("/")
        reading = read_name(name)
        role, modality = reading.role, reading.modality
        for part in reversed(inside):
            around = read_name(part)
            if around.role in ("mask", "derived") and role != "derived":
                role, modality = around.role, None
            elif role == "unknown" and alone and around.role == "scan":
                role, modality = "scan", around.modality
        if role == "mask" and not _is_own(folder, relative):
            pile.masks.append(relative)
        elif role == "unknown":
            pile.rest.append(relative)
        elif modality and self.guesses(modality):
            self._add_guessed(pile, folder, relative, modality)
        elif modality:
            pile.passed.add(modality)
        return None

    def _add_guessed(self, pile: SortedImages, folder: Path, relative: str, modality: str) -> None:
        kind = diffusion_of(folder / relative) if modality == "dwi" else Diffusion.IMAGE
        if kind is Diffusion.IMAGE:
            pile.scans.setdefault(modality, []).append(relative)
        elif kind is Diffusion.SERIES:
            pile.raw.append(relative)


def take_series(pile: SortedImages, folder: Path, sorter: Sorter) -> None:
    """Take raw diffusion series as DWI where there is no diffusion-weighted image beside them.

    The trace image is made when the case is read; one whose b-values cannot be read stays raw.
    """
    if "dwi" in pile.scans or not sorter.guesses("dwi"):
        return
    usable = [file for file in pile.raw if is_series(folder / file)]
    if usable:
        pile.scans["dwi"] = usable
        pile.raw = [file for file in pile.raw if file not in usable]


def sort_files(folder: Path, files: Sequence[str], sorter: Sorter) -> SortedImages:
    """Sort the images of a case that has a folder of its own.

    Parameters
    ----------
    folder : Path
        The case's folder.
    files : sequence of str
        Paths relative to it.
    sorter : Sorter
        What the user says about names.
    """
    pile = SortedImages()
    files, pile.twins = without_twins(files)
    beside = Counter(file.rpartition("/")[0] for file in files)
    for file in files:
        sorter.add(pile, folder, file, alone=beside[file.rpartition("/")[0]] == 1)
    take_series(pile, folder, sorter)
    return pile


def choose_images(
    case: str, folder: Path, pile: SortedImages, sorter: Sorter, findings: Findings
) -> Mapping[str, Path]:
    """Take the one file of each modality; more than one is kept as an ambiguity.

    Raw diffusion series beside other scans are noted, and patterns that fit nothing of this case.
    """
    for left, taken in pile.twins.items():
        findings.note(TWINS, f"{left} (taken: {taken})")
    globs = {pattern.modality: pattern.glob for pattern in sorter.patterns}
    for file in pile.raw if pile.scans else ():
        findings.note(RAW_DIFFUSION, file.rpartition("/")[2])
    for modality in sorted(pile.passed - set(pile.scans)):
        findings.note(
            f"cases whose {modality} --pattern {modality}='{globs[modality]}' does not fit", case
        )
    images = {}
    for modality in order_modalities(pile.scans):
        files = _of_runs(modality, pile, sorter, findings)
        if len(files) > 1:
            findings.ambiguities.append(
                Ambiguity(case, modality, tuple(files), globs.get(modality))
            )
        else:
            findings.settled.setdefault(modality, []).append(files[0])
        images[modality] = folder / files[0]
    return images


def _of_runs(
    modality: str, pile: SortedImages, sorter: Sorter, findings: Findings
) -> Sequence[str]:
    """Leave the first of several runs of a scan; the others stay beside where a mean is wanted."""
    files = pile.scans[modality]
    runs = sorted_runs(files, by_last_number=sorter.averages) if len(files) > 1 else ()
    if not runs:
        return files
    called = _MEAN if sorter.averages else _RUNS
    findings.note(called, f"{runs[0].rpartition('/')[2]} of {len(runs)}")
    if sorter.averages:
        pile.runs[modality] = runs[1:]
    return runs[:1]


def further_runs(folder: Path, pile: SortedImages) -> dict[str, tuple[Path, ...]]:
    """Give the runs to be averaged with the first, by modality."""
    return {name: tuple(folder / file for file in files) for name, files in pile.runs.items()}


def choose_truth(case: str, folder: Path, pile: SortedImages, findings: Findings) -> Path | None:
    """Take the one mask of a lesion; of several, the one that says so in its name, else none."""
    masks = pile.masks
    if len(masks) > 1:
        masks = [mask for mask in masks if "lesion" in mask.lower()]
    if len(masks) == 1:
        return folder / masks[0]
    if pile.masks:
        findings.note(
            "cases with several masks were taken without a truth, name it in a table",
            f"{case} ({cut_short(pile.masks, 3, between=' or ')})",
        )
    return None


def _is_own(folder: Path, relative: str) -> bool:
    """Tell whether a mask is a result of strokeseg: then the record lies beside it."""
    path = folder / relative
    stem = image_stem(path.name) or ""
    prefix = stem.removesuffix(_OWN_MASK)
    return stem.endswith(_OWN_MASK) and path.with_name(prefix + RECORD_ENDING).exists()
