"""A batch on a Dask cluster: every case once, whatever happens to a worker."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from strokeseg.cohort.batch.agenda import CaseQueue
from strokeseg.cohort.batch.claims import FOLDER
from strokeseg.cohort.batch.cluster import connection, slurm
from strokeseg.cohort.batch.cluster.drive import run_on_dask
from strokeseg.cohort.batch.cluster.slurm import cluster_settings, parse_slurm
from strokeseg.cohort.batch.job import BatchJob
from strokeseg.errors import EngineError, UsageError
from strokeseg.results.archive import find_filed_cases
from tests.cohort.cohorts import COMMAND, Heard, hidden, make_cases, make_job, make_model
from tests.patients import IN_HEADER, IN_NAME, NAMED, everything, leaks, patient_scan

TERMS = {"mem": "8GB", "cores": "4"}


def test_what_slurm_is_asked_for_is_read():
    text = " partition=gpu, mem=16GB,walltime=04:00:00,,jobs=3,gres=gpu:1 "
    expected = {"partition": "gpu", "mem": "16GB", "walltime": "04:00:00", "jobs": "3"}
    assert parse_slurm(text) == expected | {"gres": "gpu:1"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "was given nothing"),
        ("partitions=gpu", "does not know partitions"),
        ("mem", "--slurm mem: give each as KEY=VALUE"),
        ("gres=gpu:1\nrm -rf x", "--slurm gres: .* holds what cannot be printed"),
        ("mem=", "--slurm mem=: give each as KEY=VALUE"),
        ("mem=1GB,mem=2GB", "mem=2GB: give each as KEY=VALUE, once"),
        ("cores=many", "cores=many: give 1 or more"),
        ("jobs=0", "jobs=0: give 1 or more"),
    ],
)
def test_what_slurm_cannot_be_asked_for_is_said(text, word):
    with pytest.raises(UsageError, match=word):
        parse_slurm(text)


def test_what_slurm_is_asked_for_is_what_its_jobs_get(tmp_path):
    found = cluster_settings({"partition": "gpu", "cores": "8", "gres": "gpu:1"}, tmp_path)
    assert found["queue"] == "gpu"
    assert (found["cores"], found["processes"], found["memory"]) == (8, 1, "8GB")
    assert found["job_extra_directives"] == ["--gres=gpu:1"]
    assert found["log_directory"] == str(tmp_path)
    assert "walltime" not in found
    ours = cluster_settings({"partition": "gpu"}, tmp_path, ["memory", "cores"])
    assert set(ours) == {"queue", "processes", "log_directory", "job_name"}


def connect(tmp_path, **how):
    job = make_job(tmp_path / "out", make_model(tmp_path / "model"))
    return list(run_on_dask(CaseQueue((), Heard()), job, Heard(), **how))


def test_without_dask_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(EngineError, match=r"pip install 'strokeseg\[cluster\]'"):
        connect(tmp_path, address="tcp://127.0.0.1:9")


def test_without_slurm_the_error_says_where_to_go(tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="login node"):
        connect(tmp_path, slurm=TERMS)
    monkeypatch.setattr(slurm.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EngineError, match=r"pip install 'strokeseg\[cluster\]'"):
        connect(tmp_path, slurm=TERMS)


def test_a_scheduler_that_does_not_answer_is_said(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(connection, "_CONNECT_S", 0.5)
    with pytest.raises(EngineError, match=r"tcp://127\.0\.0\.1:9 does not answer"):
        connect(tmp_path, address="tcp://127.0.0.1:9")


class Machines:
    """A scheduler and workers on loopback, in processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self.processes = []
        self.address = ""

    def start(self, module, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments, "--no-dashboard"]
        with (self.folder / f"{module}-{len(self.processes)}.log").open("w") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env=self.environment, cwd=self.folder
            )
        self.processes.append(process)
        return process

    def begin(self):
        where = self.folder / "scheduler.json"
        self.start(
            "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", where
        )
        until = time.monotonic() + 60
        while not self.address:
            assert time.monotonic() < until
            time.sleep(0.05)
            if where.exists() and where.read_text().strip().endswith("}"):
                self.address = json.loads(where.read_text())["address"]

    def worker(self):
        """Start a worker that nobody starts again when it dies."""
        threads = ("--nthreads", "1", "--no-nanny", "--host", "127.0.0.1")
        return self.start("dask_worker", self.address, *threads)

    def end(self):
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait(30)


@pytest.fixture
def machines(tmp_path):
    pytest.importorskip("distributed")
    found = Machines(tmp_path)
    found.begin()
    yield found
    found.end()


def start_batch(tmp_path, *arguments, environment=None):
    command = [*COMMAND, "batch", str(tmp_path / "in"), str(tmp_path / "out"), "--json"]
    command += ["--model", str(tmp_path / "model"), "--overlap", "0.8", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def holders(tmp_path):
    """Processes that are at a case."""
    found = set()
    for path in (tmp_path / "out" / FOLDER).glob("*.json"):
        try:
            found.add(json.loads(path.read_text())["pid"])
        except (OSError, ValueError):  # given up, or being written, at this moment
            continue
    return found


def check_done(tmp_path, batch, count, code=0):
    out, err = batch.communicate(timeout=240)
    assert batch.returncode == code, err
    outcomes = json.loads(out)["cases"]
    names = [f"s{index + 1}" for index in range(count)]
    assert [outcome["case"] for outcome in outcomes] == names
    assert hidden(tmp_path / "out") == []
    lines = (tmp_path / "out" / "cohort.tsv").read_text().splitlines()
    table = [line.split("\t")[:2] for line in lines[1:]]
    assert [name for name, _ in table] == names
    return {outcome["case"]: outcome for outcome in outcomes}, dict(table), err


def test_a_worker_killed_in_the_middle_costs_no_case(tmp_path, machines):
    make_model(tmp_path / "model")
    cases = make_cases(tmp_path / "in", 7)
    broken = cases[4].images["flair"]
    broken.write_bytes(broken.read_bytes()[:1500])
    workers = [machines.worker(), machines.worker()]
    batch = start_batch(tmp_path, "--dask", machines.address)
    until = time.monotonic() + 120
    while workers[0].pid not in holders(tmp_path):
        assert batch.poll() is None
        assert time.monotonic() < until
        time.sleep(0.002)
    os.kill(workers[0].pid, signal.SIGKILL)
    outcomes, table, _ = check_done(tmp_path, batch, 7, code=1)
    assert outcomes.pop("s5")["exit_code"] == 65
    # A case that was saved just before its worker was killed is found whole, and not done twice.
    assert {outcome["status"] for outcome in outcomes.values()} <= {"done", "skipped"}
    assert [outcome["status"] for outcome in outcomes.values()].count("done") >= 3
    assert table.pop("s5") == "failed"
    assert set(table.values()) == {"done"}
    assert [case.error is None for case in find_filed_cases(tmp_path / "out")].count(True) == 6
    assert workers[1].poll() is None


def test_workers_of_an_anonymous_batch_name_nobody(tmp_path, machines):
    make_model(tmp_path / "model")
    for at, name in enumerate((NAMED, f"{NAMED}b")):
        patient_scan(tmp_path / "in" / name, f"{name}_flair.nii.gz", shift=at)
    broken = tmp_path / "in" / f"{NAMED}b" / f"{NAMED}b_flair.nii.gz"
    broken.write_bytes(broken.read_bytes()[:1500])
    machines.worker()
    batch = start_batch(tmp_path, "--dask", machines.address, "--anonymise")
    out, err = batch.communicate(timeout=240)
    assert batch.returncode == 1
    found = everything(tmp_path / "out", out, err)
    assert leaks(found, (*IN_NAME, *IN_HEADER, str(tmp_path), "pytest-of")) == []
    told = json.loads(out)
    assert (told["done"], told["failed"]) == (1, 1)


def test_a_scheduler_without_workers_is_waited_for_and_ctrl_c_ends_that(tmp_path, machines):
    make_model(tmp_path / "model")
    make_cases(tmp_path / "in", 1)
    batch = start_batch(tmp_path, "--dask", machines.address)
    while "waiting for workers" not in batch.stderr.readline():
        assert batch.poll() is None
    batch.send_signal(signal.SIGINT)
    _, err = batch.communicate(timeout=60)
    assert batch.returncode == 130, err
    assert "0 of 1 case done" in err
    assert "Traceback" not in err


def test_what_fails_in_the_loop_of_the_client_stays_out_of_the_progress(tmp_path, machines, caplog):
    job, heard = BatchJob(tmp_path), Heard()
    ran = threading.Event()

    def fail():
        ran.set()
        raise ValueError("as a call that was interrupted before it began")

    with connection.Connection.open(job, heard, address=machines.address, slurm=None) as opened:
        opened.client.loop.add_callback(fail)
        assert ran.wait(10)
        assert opened.workers() == []
    assert caplog.text == ""


SBATCH = """#!/bin/sh
if [ "$1" = --test-only ]; then
  grep -q 'SBATCH -p none' "$2" || exit 0
  echo 'no such partition' >&2
  exit 1
fi
cp "$1" "$0.$$"
setsid sh "$0.$$" > /dev/null 2>&1 &
echo "$!" >> "$0.jobs"
echo "Submitted batch job $!"
"""


@pytest.fixture
def slurm_environment(tmp_path):
    """Commands called sbatch and scancel that run jobs here."""
    pytest.importorskip("dask_jobqueue")
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", '#!/bin/sh\necho "$@" >> "$0.log"\n')):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    yield os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    jobs = folder / "sbatch.jobs"
    for pid in jobs.read_text().split() if jobs.exists() else ():
        with suppress(ProcessLookupError):
            os.killpg(int(pid), signal.SIGKILL)


def test_slurm_is_asked_for_workers_that_do_the_cases(tmp_path, slurm_environment):
    make_model(tmp_path / "model")
    make_cases(tmp_path / "in", 3)
    asked = "partition=long,mem=4GB,cores=1,jobs=2,interface=lo"
    batch = start_batch(tmp_path, "--slurm", asked, environment=slurm_environment)
    outcomes, _, err = check_done(tmp_path, batch, 3)
    assert {outcome["status"] for outcome in outcomes.values()} == {"done"}
    assert "asking SLURM for 2 job(s)" in err
    jobs = (tmp_path / "bin" / "sbatch.jobs").read_text().split()
    cancelled = (tmp_path / "bin" / "scancel.log").read_text().split()
    assert sorted(cancelled) == sorted(jobs)
    assert len(jobs) == 2


def test_a_job_that_slurm_does_not_take_is_said(tmp_path, slurm_environment):
    make_model(tmp_path / "model")
    make_cases(tmp_path / "in", 1)
    asked = "partition=none,interface=lo"
    batch = start_batch(tmp_path, "--slurm", asked, environment=slurm_environment)
    _, err = batch.communicate(timeout=120)
    assert batch.returncode == 70
    assert err.strip().splitlines()[-1].endswith("no such partition; change --slurm")
    assert hidden(tmp_path / "out") == []
