"""One input to one reader, judged: a result or an error of ours, soon, in little memory."""

import signal
import time
import traceback
import tracemalloc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from strokeseg.errors import StrokesegError
from tests.fuzz.targets import Target

LONGEST_S = 10
LONGEST_MESSAGE = 8000
RESULT = "result"


class Hang(BaseException):
    """Raised in a trial that has taken longer than `LONGEST_S`."""


@dataclass(frozen=True)
class Trial:
    """What became of one input.

    Attributes
    ----------
    outcome
        ``result``, or the class of the error.
    fault
        What is not allowed about it; None for a trial that passed.
    place
        Where the fault arose, to tell faults apart.
    seconds, peak_bytes
        What it took.
    """

    outcome: str
    fault: str | None
    place: str
    seconds: float
    peak_bytes: int


@contextmanager
def measured() -> Iterator[None]:
    """Stop what hangs, and make warnings errors, while trials run."""
    before = signal.signal(signal.SIGALRM, _hang)
    others = signal.setitimer(signal.ITIMER_REAL, 0)  # such as a test runner's
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    finally:
        signal.signal(signal.SIGALRM, before)
        if others[0] > 0:
            left = max(0.01, others[0] - (time.perf_counter() - started))
            signal.setitimer(signal.ITIMER_REAL, left, others[1])


def attempt(target: Target, data: bytes, folder: Path) -> Trial:
    """Give an input to a target, within `measured`.

    Parameters
    ----------
    target
        What reads it.
    data
        The input.
    folder
        A folder for its files, which are replaced by those of the next trial.
    """
    allowed = target.allowed_bytes(data)
    fault, place, outcome = None, "", RESULT
    tracemalloc.start()  # for the trial alone: making its input is a good deal faster untraced
    try:
        started = time.perf_counter()
        caught = _caught(target, data, folder)
        seconds = time.perf_counter() - started
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if isinstance(caught, StrokesegError):
        outcome, fault = type(caught).__name__, _complaint(caught)
    elif caught is not None:
        outcome = type(caught).__name__
        fault = f"{outcome}: {caught}"
    if caught is not None and fault is not None:
        place = _place(caught)
    if fault is None and peak > allowed:
        fault = f"takes {peak} bytes for {len(data)} bytes, of which {allowed} are allowed"
        place = "memory"
    return Trial(outcome, fault, place, seconds, peak)


def _caught(target: Target, data: bytes, folder: Path) -> BaseException | None:
    """Run a target, no longer than it may take, and give what it raises."""
    try:
        signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
        try:
            target.run(data, folder)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except (Exception, Hang) as error:  # noqa: BLE001 - what is not ours is what is looked for
        return error
    return None


def _complaint(error: StrokesegError) -> str | None:
    """Say what is wrong with an error of ours as a user meets it."""
    message = str(error)
    if type(error) is StrokesegError:
        return f"blames strokeseg itself: {message}"
    if not message or any(not character.isprintable() for character in message):
        return f"is not one printable line: {message!r}"
    if len(message) > LONGEST_MESSAGE:
        return f"is {len(message)} characters long: {message[:80]}..."
    return None


def _place(error: BaseException) -> str:
    """Name the innermost line of strokeseg or of a check here that the error came through."""
    lines = [
        (frame.f_code.co_filename, number)
        for frame, number in traceback.walk_tb(error.__traceback__)
    ]
    ours = [line for line in lines if "/strokeseg/" in line[0] or "/training/" in line[0]]
    checks = [line for line in lines if "/fuzz/" in line[0]]
    file, number = (ours or checks or lines)[-1]
    return f"{type(error).__name__} at {Path(file).name}:{number}"


def _hang(_number: int, _frame: FrameType | None) -> None:
    raise Hang(f"no answer in {LONGEST_S} s")
