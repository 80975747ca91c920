"""A part of the cases for each of many machines: `--shard I/N`, or a Slurm job array's task."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from strokeseg.cohort.cases.case import Case
from strokeseg.errors import UsageError

_SHARD = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", re.ASCII)
_TASK = "SLURM_ARRAY_TASK_"


@dataclass(frozen=True)
class Shard:
    """One of `count` equal parts; `index` counts from 1.

    Raises
    ------
    UsageError
        If the index is not from 1 to `count`.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        """Check the index."""
        if not 1 <= self.index <= self.count:
            raise UsageError(f"--shard {self}: give I/N with I from 1 to N, such as 1/10")

    def __str__(self) -> str:
        """Write it as the user does."""
        return f"{self.index}/{self.count}"


def parse_shard(text: str) -> Shard:
    """Read `--shard I/N`.

    Raises
    ------
    UsageError
        If it is not two numbers, or I is not from 1 to N.
    """
    match = _SHARD.fullmatch(text)
    if not match:
        raise UsageError(f"--shard {text}: give I/N with I from 1 to N, such as 1/10")
    return Shard(int(match[1]), int(match[2]))


def shard_from_environment(environ: Mapping[str, str]) -> Shard | None:
    """Tell the part of this task of a Slurm job array; None where there is no array.

    Tasks may be numbered in any even steps, as ``--array=0-9``, ``1-10`` or ``5-23:2``.

    Parameters
    ----------
    environ : mapping
        `os.environ`.

    Raises
    ------
    UsageError
        If the tasks' numbers are uneven (``--array=1,2,7``), as the parts cannot be told then, or
        if Slurm did not say how many tasks there are.
    """
    if f"{_TASK}ID" not in environ:
        return None
    task = _number(environ, "ID")
    count, first = _number(environ, "COUNT"), _number(environ, "MIN")
    for step in _steps(environ, first, count):
        index, between = divmod(task - first, step)
        if not between and 0 <= index < count:
            return Shard(index + 1, count)
    raise UsageError(
        f"task {task} of a Slurm array of {count} from {first}: the tasks' numbers are uneven; "
        "pass --shard I/N, or number them as --array=1-N"
    )


def take_shard(cases: Iterable[Case], shard: Shard) -> tuple[Case, ...]:
    """Take one part of the cases: of those sorted by name, every N-th from the I-th on.

    The N parts hold every case once, whatever order the cases came in.
    """
    return tuple(sorted(cases, key=lambda case: case.name)[shard.index - 1 :: shard.count])


def _steps(environ: Mapping[str, str], first: int, count: int) -> list[int]:
    """Give the steps between tasks' numbers that agree with the last one and their count."""
    if count < 2:
        return [1]
    if f"{_TASK}MAX" not in environ:
        return [_number(environ, "STEP")] if f"{_TASK}STEP" in environ else [1]
    step, rest = divmod(_number(environ, "MAX") - first, count - 1)
    return [step] if step > 0 and not rest else []


def _number(environ: Mapping[str, str], what: str) -> int:
    """Read one of Slurm's numbers."""
    text = environ.get(f"{_TASK}{what}", "")
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise UsageError(
            f"{_TASK}ID is set, but {_TASK}{what} is {text!r} and no number; pass --shard I/N"
        )
    return int(text)
