"""Batches started as a user starts them, and what must hold however they end."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.cohort.cohorts import COMMAND, hidden, make_cases, make_model
from tests.faults.kills import KINDS, Tally, whole_cases


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    said: str

    @property
    def errors(self) -> list[str]:
        """The lines that tell of an error."""
        return [line for line in self.said.splitlines() if "strokeseg: error" in line]


def make_cohort(folder: Path, count: int) -> Path:
    """Make cases and a model below a folder."""
    make_model(folder / "model")
    make_cases(folder / "in", count)
    return folder


def batch_words(folder: Path, output: Path) -> list[str]:
    """Give the words of a batch over the cohort in `folder`."""
    words = ["batch", folder / "in", output, "--model", folder / "model"]
    return [str(word) for word in (*words, "--save", KINDS, "--fast", "--threads", 1)]


def start(words: list[str], *, before: tuple[str, ...] = (), **environment: str):
    """Start a command; `before` are words that run it, such as setpriv's."""
    return subprocess.Popen(
        [*before, *COMMAND, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )


def end(process) -> Ended:
    """Wait for a command's end."""
    said, _ = process.communicate(timeout=300)
    return Ended(process.returncode, said)


def run(words: list[str], **how) -> Ended:
    """Run a command to its end."""
    return end(start(words, **how))


def check_sound(ended: Ended, output: Path, sealed: tuple[str, ...] = ()) -> dict:
    """Check what holds whatever happened; gives the whole cases by record.

    No traceback, no fault of ours, nothing half-written under a final name, nothing hidden left
    but `sealed`, which stood where nothing may be removed any more.
    """
    assert "Traceback" not in ended.said, ended.said
    assert "fault of ours" not in ended.said, ended.said
    tally = Tally()
    whole = whole_cases(output, tally) if output.exists() else {}
    assert tally.breaches == 0, tally.notes
    assert set(hidden(output)) <= set(sealed)
    return whole


def check_goes_on(folder: Path, output: Path, whole: dict, count: int) -> None:
    """Check that the same command does what is missing, and nothing else."""
    again = run(batch_words(folder, output))
    assert again.code == 0, again.said
    after = check_sound(again, output)
    assert len(after) == count
    assert {record: after[record] for record in whole} == whole
    assert f"done before  {len(whole)}" in again.said
