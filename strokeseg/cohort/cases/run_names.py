"""Several runs of one scan, told by names that differ in the number of the run alone."""

import re
from collections.abc import Sequence

from strokeseg.images.file_names import without_ending

_RUN = re.compile(r"(?<![A-Za-z0-9])run[-_ ]?(\d+)(?![A-Za-z0-9])", re.IGNORECASE)
# As dcm2niix numbers series: T1_MPRAGE_5.
_LAST = re.compile(r"(?<=[A-Za-z0-9)])[-_ ]s?(\d{1,4})$")


def sorted_runs(files: Sequence[str], *, by_last_number: bool = False) -> tuple[str, ...]:
    """Sort files that are runs of one scan, the first of them first.

    Parameters
    ----------
    files : sequence of str
        Paths, one or more.
    by_last_number : bool
        Whether a number at the end of the name counts as that of a run, where no name says ``run``.

    Returns
    -------
    tuple of str
        Empty where more than the run differs, or two are of one run.
    """
    for pattern in (_RUN, _LAST) if by_last_number else (_RUN,):
        found = {file: pattern.search(without_ending(file)) for file in files}
        numbers = {file: int(match[1]) for file, match in found.items() if match}
        rest = {pattern.sub("", without_ending(file)) for file in files}
        if len(rest) == 1 and len(set(numbers.values())) == len(files):
            return tuple(sorted(numbers, key=lambda file: numbers[file]))
    return ()


def without_run(file: str) -> str:
    """Give a name without the number of its run, where it has one after that word."""
    stem = without_ending(file)
    return re.sub(r"[-_ ]{2,}", "_", _RUN.sub("", stem)).strip("-_ ") + file[len(stem) :]
