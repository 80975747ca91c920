"""The scans of one case, from a command line: one file a contrast, and each file once."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from strokeseg.errors import UsageError

if TYPE_CHECKING:
    from strokeseg.images.reading import Source


AUTO = "auto"

ToldScans = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SCAN",
        show_default=False,
        help="Scans whose names tell what they show, as a batch is told: a_T1w.nii.gz "
        "b_FLAIR.nii.gz. Others are given by an option.",
    ),
]


@dataclass(frozen=True)
class WantedScans:
    """The scans of a case as a command line names them.

    Parameters
    ----------
    images : mapping
        File or DICOM folder by contrast.
    series : mapping
        Which series of DICOM is meant, by contrast.
    computes_adc : bool
        Whether ADC is to be computed from the diffusion series.
    runs : mapping
        Further runs by contrast, whose mean with the first is wanted.
    """

    images: dict[str, Path]
    series: Mapping[str, int]
    computes_adc: bool
    runs: Mapping[str, tuple[Path, ...]]

    @classmethod
    def of(
        cls,
        given: Mapping[str, Sequence[str] | None],
        others: Sequence[str],
        series: Sequence[str],
        *,
        averages: bool = False,
    ) -> Self:
        """Read options; see `scans_of`. Several files of a contrast are runs, if `averages`.

        Raises
        ------
        UsageError
            If they contradict each other.
        """
        computes_adc = list(given.get("adc") or ()) == [AUTO] and not Path(AUTO).exists()
        if computes_adc:
            given = {name: files for name, files in given.items() if name != "adc"}
            if not given.get("dwi"):
                raise UsageError("--adc auto computes ADC from --dwi, which was not given")
        given, runs = runs_of(given) if averages else (given, {})
        images = scans_of(given, others)
        _check_each_once({**images, **_numbered(runs)})
        return cls(images, series_of(series, images), computes_adc, runs)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file that is read."""
        return (*self.images.values(), *_numbered(self.runs).values())

    def check_weights(self, names: Iterable[str]) -> None:
        """Refuse a weight for a scan that is not there.

        Raises
        ------
        UsageError
            If there is one.
        """
        given = [*self.images, *(["adc"] if self.computes_adc else [])]
        for name in names:
            if name not in given:
                raise UsageError(f"--weight {name}: no such scan was given ({', '.join(given)})")

    def opened(self, b_value: float) -> "dict[str, Source]":
        """Give the scans for a prediction; only those that need it are read now.

        Raises
        ------
        StrokesegError
            A series is not there, or ADC cannot be computed.
        """
        if not self.series and not self.computes_adc and not self.runs:
            return dict(self.images)
        from strokeseg.images.arrival import adc_of, arrived
        from strokeseg.images.reading import read_scan
        from strokeseg.images.run_average import average_runs

        found: dict[str, Source] = dict(self.images)
        for name, number in self.series.items():
            found[name] = arrived(name, self.images[name], series=number, b_value=b_value)
        if self.computes_adc:
            number_of_dwi = self.series.get("dwi")
            found["adc"] = adc_of(self.images["dwi"], series=number_of_dwi, b_value=b_value)
        for name, others in self.runs.items():
            scans = [found[name], *others]
            first, *rest = (read_scan(arrived(name, scan, b_value=b_value)) for scan in scans)
            found[name] = average_runs(first, rest)
        return found


def with_told(
    given: Mapping[str, Sequence[str] | None], told: Sequence[str], *, averages: bool = False
) -> dict[str, Sequence[str] | None]:
    """Add scans that were given without an option, whose names tell what they show.

    Raises
    ------
    UsageError
        A name does not tell it, or an option names another scan of that contrast; the message shows
        the choices.
    """
    from strokeseg.cohort.cases.told_scans import told_scans

    found = dict(given)
    for name, paths in told_scans(map(Path, told), averages=averages).items():
        others = found.get(name)
        if others:
            path = paths[0]
            raise UsageError(
                f"{path} seems to be {name}, and --{name} {others[0]} was given: leave one out, or "
                f"give {path} by what it is, such as --image NAME={path}"
            )
        found[name] = [str(path) for path in paths]
    return found


def runs_of(
    given: Mapping[str, Sequence[str] | None],
) -> tuple[dict[str, Sequence[str] | None], dict[str, tuple[Path, ...]]]:
    """Split what was given several times: the first scan of each contrast, and its further runs.

    Raises
    ------
    UsageError
        No contrast was given several times.
    """
    several = {name: files for name, files in given.items() if files and len(files) > 1}
    if not several:
        raise UsageError("--runs average: give a contrast several times, such as --t1 A --t1 B")
    for name, files in several.items():
        _check_named(f"--{name}", files)
    first = {**given, **{name: files[:1] for name, files in several.items()}}
    return first, {name: tuple(map(Path, files[1:])) for name, files in several.items()}


def series_of(pairs: Sequence[str], images: Mapping[str, Path]) -> dict[str, int]:
    """Read NAME=NUMBER pairs: which series of DICOM is meant, by contrast.

    Raises
    ------
    UsageError
        One is of another form, names a contrast twice, or names none that may hold several series.
    """
    from strokeseg.images.file_names import is_image_name

    numbers: dict[str, int] = {}
    for pair in pairs:
        name, _, number = pair.partition("=")
        if name not in images or name in numbers or not number.isdecimal():
            raise UsageError(f"--series {pair}: give NAME=NUMBER once a scan, such as dwi=5")
        if is_image_name(images[name].name):
            raise UsageError(
                f"--series {pair}: {images[name]} is no DICOM, which alone holds several series; "
                "leave --series out"
            )
        numbers[name] = int(number)
    return numbers


def _numbered(runs: Mapping[str, Sequence[Path]]) -> dict[str, Path]:
    """Give further runs by contrast and number."""
    return {f"{n} ({k})": path for n, paths in runs.items() for k, path in enumerate(paths, 2)}


def scans_of(given: Mapping[str, Sequence[str] | None], others: Sequence[str]) -> dict[str, Path]:
    """Gather the scans of a case.

    Parameters
    ----------
    given : mapping
        What each option of one scan was set to, by contrast, in the order of the words.
    others : sequence of str
        What ``--image`` was set to: NAME=FILE.

    Raises
    ------
    UsageError
        If an option is empty or was given twice, or one file is given as two contrasts.
    """
    images: dict[str, Path] = {}
    for name, files in given.items():
        if files:
            images[name] = _only(f"--{name}", files)
    for pair in others:
        name, separator, file = pair.partition("=")
        if not separator or not name or not file:
            raise UsageError(f"--image {pair}: give NAME=FILE, such as --image swi=swi.nii.gz")
        if name in images:
            raise UsageError(f"--image {pair}: {name} was given already, as {images[name]}")
        images[name] = Path(file)
    _check_each_once(images)
    return images


def _only(option: str, files: Sequence[str]) -> Path:
    """Give the one file of an option."""
    _check_named(option, files)
    if len(files) > 1:
        raise UsageError(
            f"{option} was given {'twice' if len(files) == 2 else f'{len(files)} times'} "
            f"({' and '.join(files)}): give one scan, or --runs average for the mean of several "
            "runs; another of the same contrast can come as "
            f"--image {option.removeprefix('--')}b=FILE"
        )
    return Path(files[0])


def _check_named(option: str, files: Sequence[str]) -> None:
    if not all(files):
        raise UsageError(f"{option} is empty: name a file, or leave the option out")


def _check_each_once(images: Mapping[str, Path]) -> None:
    """Refuse one file for two contrasts, by whatever path or link."""
    first: dict[str, str] = {}
    for name, path in images.items():
        known = first.setdefault(os.path.realpath(path), name)
        if known != name:
            raise UsageError(
                f"--{known} and --{name} name one file, {path}: give each scan once, by its own "
                "contrast"
            )
