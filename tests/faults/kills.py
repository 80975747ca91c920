"""Kill a batch with SIGKILL at random moments, go on, and look at what is there.

A run is a child forked from a process in which the package is loaded already, so that the moments
fall into the work and not into the import of libraries; every `SPAWN_EVERY`-th one is a process of
its own, as a shell starts it. Moments are drawn from all of the time that a run still needs. Kills
take the whole session; or the first process alone, whose workers then have to end by themselves; or
one worker alone. In every other output all cases share one folder, where what a killed process left
is told by names alone.
"""

import hashlib
import json
import os
import random
import signal
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import NamedTuple

from tests.cohort.cohorts import hidden, make_cases, make_model
from tests.faults.processes import PATIENCE_S, Forked, Process, kill, kill_worker, spawned, wait

CASES = 4
SPAWN_EVERY = 10
KILLS_PER_OUTPUT = 8
GRACE_S = 20.0
KINDS = "mask,probability,tissue,lesions,qc"


@dataclass
class Tally:
    """What a campaign came to. From `done_again` on, everything must stay 0."""

    kills: int = 0
    kills_of_a_worker: int = 0
    kills_while_saving: int = 0
    runs: int = 0
    outputs: int = 0
    cases_whole: int = 0
    done_again: int = 0
    bytes_lost: int = 0
    files_damaged: int = 0
    cases_missing: int = 0
    files_left_behind: int = 0
    bad_ends: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def breaches(self) -> int:
        """Count what must not be."""
        names = ("done_again", "bytes_lost", "files_damaged", "cases_missing")
        return sum(getattr(self, n) for n in (*names, "files_left_behind", "bad_ends"))


class Stamp(NamedTuple):
    """What changes when a file is written anew."""

    inode: int
    mtime_ns: int
    size: int


def whole_cases(output: Path, tally: Tally) -> dict[Path, dict[Path, Stamp]]:
    """Give the files of every case that has a record, by record; damage goes into the tally.

    It reads records and checksums by itself, not by the code that is under test.
    """
    found = {}
    for record in _records(output):
        paths = [record]
        try:
            for name, digest in json.loads(record.read_bytes())["files"].items():
                _check(record.parent / name, digest)
                paths.append(record.parent / name)
        except (OSError, ValueError, KeyError) as error:
            tally.files_damaged += 1
            tally.notes.append(f"{record}: {error}")
            continue
        found[record] = {path: _stamp(path) for path in paths}
    return found


def _records(output: Path) -> list[Path]:
    """List the records under final names; workers whose batch was killed may still be writing."""
    found = []
    for folder, folders, names in os.walk(output):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(folder, name) for name in names if name.endswith("_strokeseg.json")]
    return sorted(found)


def _is_saving(output: Path) -> bool:
    return any(name.startswith(".strokeseg-") for _, names, _ in os.walk(output) for name in names)


def _check(path: Path, digest: str) -> None:
    if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise ValueError(f"{path.name} is not what its record says")


def _stamp(path: Path) -> Stamp:
    told = path.stat()
    return Stamp(told.st_ino, told.st_mtime_ns, told.st_size)


class Campaign:
    """Kills of one kind of batch: its cases, its model, and how long a run of it takes."""

    def __init__(self, folder: Path, seed: int, jobs: int) -> None:
        self.folder = folder
        self.tally = Tally()
        self._jobs = jobs
        self._times = 0
        self._random = random.Random(seed)
        make_model(folder / "model")
        cases = make_cases(folder / "in", CASES)
        rows = [f"{case.name},{case.images['flair']},together" for case in cases]
        (folder / "together.csv").write_text("\n".join(["case,flair,output", *rows, ""]))
        self._lengths_s = {
            is_spawned: self._measure(folder / f"measured-{is_spawned}", is_spawned=is_spawned)
            for is_spawned in (False, True)
        }

    def go(self, times: int) -> Tally:
        """Kill so many times, in as many outputs as that takes."""
        self._times = times
        while self.tally.kills < times:
            self.tally.outputs += 1
            self._torture(self.folder / f"out-{self.tally.outputs}")
        return self.tally

    def _start(self, output: Path, *, is_spawned: bool) -> Process:
        source = self.folder / ("together.csv" if self.tally.outputs % 2 else "in")
        arguments = ["batch", source, output, "--model", self.folder / "model"]
        arguments += ["--save", KINDS, "--jobs", self._jobs, "--threads", 1, "--fast"]
        words = [str(argument) for argument in arguments]
        log = output.with_suffix(".log")
        return spawned(words, log) if is_spawned else Forked(words, log)

    def _measure(self, output: Path, *, is_spawned: bool) -> tuple[float, float]:
        """Time a whole run, and one that finds everything done."""
        lengths_s = []
        for _ in range(2):
            started = time.monotonic()
            code = wait(self._start(output, is_spawned=is_spawned), PATIENCE_S)
            if code != 0:
                raise RuntimeError(f"a run that nobody killed ended with {code}: {_end_of(output)}")
            lengths_s.append(time.monotonic() - started)
        return lengths_s[0], lengths_s[1]

    def _moment_s(self, whole: int, *, is_spawned: bool) -> float:
        """Draw a moment of a run that finds so many cases done."""
        full_s, idle_s = self._lengths_s[is_spawned]
        rest_s = max(0.0, full_s - idle_s) * (CASES - whole) / CASES
        return self._random.uniform(0.0, idle_s + rest_s)

    def _torture(self, output: Path) -> None:
        """Kill the runs into one output until they are over, then look at everything."""
        known: dict[Path, dict[Path, Stamp]] = {}
        for attempt in count():
            self.tally.runs += 1
            is_spawned = self.tally.runs % SPAWN_EVERY == 0
            process = self._start(output, is_spawned=is_spawned)
            doomed = attempt < KILLS_PER_OUTPUT and self.tally.kills < self._times
            code = None
            if doomed:
                code = self._kill(process, len(known), is_spawned=is_spawned)
            elif wait(process, PATIENCE_S) is None:
                kill(process, session=True)
            else:
                code = process.poll()
            known = self._compare(known, output)
            if code in (1, 70) and doomed and self._jobs > 1:  # too many of its workers were killed
                continue
            if code is not None or not doomed:
                self._look_at_the_end(output, code)
                return
            self.tally.kills_while_saving += _is_saving(output)

    def _kill(self, process: Process, whole: int, *, is_spawned: bool) -> int | None:
        """Kill a run at random moments; gives the exit code of one that ends by itself."""
        targets = ("session", "first", "worker")[: 3 if self._jobs > 1 else 2]
        while wait(process, self._moment_s(whole, is_spawned=is_spawned)) is None:
            if self.tally.kills == self._times:
                return wait(process, PATIENCE_S)
            target = self._random.choice(targets)
            if target != "worker":
                kill(process, session=target == "session")
                if process.poll() != -signal.SIGKILL:  # it came to its end at this very moment
                    return process.poll()
                self.tally.kills += 1
                return None
            killed = kill_worker(process.pid)  # the run goes on without it
            self.tally.kills += killed
            self.tally.kills_of_a_worker += killed
        return process.poll()

    def _compare(
        self, known: dict[Path, dict[Path, Stamp]], output: Path
    ) -> dict[Path, dict[Path, Stamp]]:
        """Hold what was whole before against what is there now."""
        now = whole_cases(output, self.tally)
        for record, files in known.items():
            lost = [stamp.size for path, stamp in files.items() if not path.exists()]
            self.tally.bytes_lost += sum(lost)
            if record in now and now[record] != files:
                self.tally.done_again += 1
                self.tally.notes.append(f"{record} was whole, and was done again")
        return now

    def _look_at_the_end(self, output: Path, code: int | None) -> None:
        """Look at an output whose last run ended by itself."""
        tally = self.tally
        if code != 0:
            tally.bad_ends += 1
            tally.notes.append(f"{output}: the last run ended with {code}: {_end_of(output)}")
        whole = len(whole_cases(output, tally))
        tally.cases_whole += whole
        rows = (output / "cohort.tsv").read_text().splitlines()[1:]
        tally.cases_missing += abs(CASES - whole) + abs(CASES - len(rows))
        patience = time.monotonic() + GRACE_S  # for a worker whose batch was killed
        while hidden(output) and time.monotonic() < patience:
            time.sleep(0.2)
        left = hidden(output)
        tally.files_left_behind += len(left)
        tally.notes += [f"{output}: {name} was left" for name in left]


def _end_of(output: Path) -> str:
    return output.with_suffix(".log").read_text()[-500:]
