"""Small cohorts that are really segmented: cases, a model, a job, and what was heard of it."""

import os
import sys
import threading
from dataclasses import replace

from strokeseg.cohort.batch.job import BatchJob, Silent, with_models
from strokeseg.cohort.batch.run import Runner, run_cases
from strokeseg.cohort.cases.case import Case
from strokeseg.prediction.options import Options
from tests.factories import KINDS, scan_file
from tests.tiny_models import OWN, tiny_files, write_files

COMMAND = [sys.executable, "-c", "from strokeseg.cli import main; main()"]
CHANGES = {"threshold": 0.3, "window": 32, "brain_mask": False, "min_volume_ml": 0.0}


def make_model(folder, seed=3, **changes):
    """Write a model of a few kilobytes."""
    return write_files(folder, tiny_files(OWN | CHANGES | changes, seed=seed))


def make_case(folder, name, kind="ras", modality="flair"):
    """Write a scan in a folder of its own."""
    own = folder / name
    own.mkdir(parents=True, exist_ok=True)
    path = own / f"{name}_{modality}{KINDS[kind].suffix}"
    scan_file(own, kind).rename(path)
    return Case(name, {modality: path}, name, name)


def make_cases(folder, count, kind="ras"):
    """Write some cases, each in a folder of its own, called s1, s2, ..."""
    return tuple(make_case(folder, f"s{index + 1}", kind) for index in range(count))


def make_job(output, model, **changes):
    """Make a job, of one pass per window unless said otherwise."""
    fast = Options(tta=False)
    job = replace(BatchJob(output, (str(model),), options=fast, offline=True), **changes)
    return with_prints(job)


def with_prints(job, **changes):
    """Give a job the run and the checksums that it would begin with."""
    fresh = BatchJob(job.output)
    return with_models(replace(job, run=fresh.run, **changes), Silent())


def run_all(cases, job, jobs=1, hear=None):
    """Run cases; gives outcomes by case."""
    outcomes = run_cases(cases, job, Runner(jobs), hear or Silent())
    assert [outcome.case for outcome in outcomes] == [case.name for case in cases]
    return {outcome.case: outcome for outcome in outcomes}


def statuses(cases, job, **how):
    """Run cases; gives the status by case."""
    return {name: outcome.status for name, outcome in run_all(cases, job, **how).items()}


def hidden(folder):
    """List what a user would not see, below a folder that others may be writing in."""
    found = [name for _, folders, names in os.walk(folder) for name in (*folders, *names)]
    return sorted(name for name in found if name.startswith("."))


class Heard:
    """A listener that keeps what it hears, and calls back at each stage."""

    def __init__(self, at_stage=lambda *_: None):
        self.stages, self.outcomes, self.notices = [], [], []
        self._at_stage = at_stage
        self._lock = threading.Lock()

    def on_stage(self, case, stage):
        with self._lock:
            self.stages.append((case, stage))
        self._at_stage(case, stage)

    def on_outcome(self, outcome):
        self.outcomes.append(outcome)

    def on_notice(self, text):
        self.notices.append(text)
