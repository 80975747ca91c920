"""A Dask cluster whose workers are SLURM jobs."""

import importlib.util
import shutil
import subprocess  # nosec B404 # sbatch alone, as a list of words, without a shell
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strokeseg.cohort.batch.job import Listener
from strokeseg.errors import EngineError, UsageError

LOG_FOLDER = ".strokeseg_slurm"
_DEFAULTS = {"cores": "4", "mem": "8GB"}
# What dask_jobqueue calls them.
_NAMES = {
    "partition": "queue",
    "account": "account",
    "walltime": "walltime",
    "interface": "interface",
    "mem": "memory",
    "cores": "cores",
}
# What goes into the job's script as it is.
_DIRECTIVES = ("gres", "qos", "constraint", "reservation")
_KEYS = (*_NAMES, "jobs", *_DIRECTIVES)


@dataclass(frozen=True)
class SlurmCluster:
    """A scheduler in this process, and how to ask for the jobs that have ended before time."""

    address: str
    keep_up: Callable[[], None]


def parse_slurm(text: str) -> dict[str, str]:
    """Read ``partition=gpu,mem=16GB,cores=8,walltime=04:00:00,jobs=4``.

    Raises
    ------
    UsageError
        If a key is not known or given twice, lacks its value, or is no number where one is needed.
    """
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, _, value = (side.strip() for side in part.partition("="))
        if key not in _KEYS:
            raise UsageError(f"--slurm does not know {key}: choose from {', '.join(_KEYS)}")
        if not value.isprintable():  # it goes into a script, line by line
            raise UsageError(f"--slurm {key}: {value!a} holds what cannot be printed")
        if not value or key in found:
            raise UsageError(f"--slurm {part}: give each as KEY=VALUE, once, such as mem=16GB")
        if key in ("cores", "jobs") and not (value.isdecimal() and int(value) > 0):
            raise UsageError(f"--slurm {part}: give 1 or more")
        found[key] = value
    if not found:
        raise UsageError("--slurm was given nothing: name at least a partition or mem")
    return found


def cluster_settings(
    slurm: Mapping[str, str], logs: Path | None, configured: Collection[str] = ()
) -> dict[str, Any]:
    """Turn what was asked for into the settings of `dask_jobqueue.SLURMCluster`.

    Parameters
    ----------
    slurm
        From `parse_slurm`.
    logs
        Where the jobs' logs go; None for nowhere.
    configured
        Which settings the user's own Dask configuration has: they need no default of ours.
    """
    defaults = {key: value for key, value in _DEFAULTS.items() if _NAMES[key] not in configured}
    asked = {**defaults, **slurm}
    settings: dict[str, Any] = {name: asked[key] for key, name in _NAMES.items() if key in asked}
    if "cores" in settings:
        settings["cores"] = int(settings["cores"])
    extra = [f"--{key}={asked[key]}" for key in _DIRECTIVES if key in asked]
    extra += [] if logs is not None else ["--output=/dev/null", "--error=/dev/null"]
    if extra:
        settings["job_extra_directives"] = extra
    if logs is not None:
        settings["log_directory"] = str(logs)
    # One process per job, so that each job has one model, which has all its cores.
    return settings | {"processes": 1, "job_name": "strokeseg"}


@contextmanager
def started_cluster(
    slurm: Mapping[str, str], logs: Path | None, hear: Listener
) -> Iterator[SlurmCluster]:
    """Start a scheduler here and ask SLURM for its workers; they end with the `with`.

    Logs name hosts and paths: an anonymous batch has none.

    Raises
    ------
    EngineError
        dask_jobqueue or SLURM is not here, or SLURM refuses such a job.
    """
    if importlib.util.find_spec("dask_jobqueue") is None:
        raise EngineError("dask-jobqueue is not installed; pip install 'strokeseg[cluster]'")
    if shutil.which("sbatch") is None:
        raise EngineError("sbatch is not here: --slurm has to be given on a SLURM login node")
    import dask
    from dask_jobqueue import SLURMCluster

    jobs = int(slurm.get("jobs", "1"))
    own = dask.config.get("jobqueue.slurm", {})
    configured = [name for name, value in own.items() if value is not None]
    try:
        cluster = SLURMCluster(**cluster_settings(slurm, logs, configured))
    except (OSError, ValueError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise EngineError(f"no Dask scheduler can be started for SLURM: {said}") from error
    with _tidied(logs), cluster:
        _try_script(cluster.job_script())
        where = f"their logs are in {logs}" if logs else "they write no logs"
        hear.on_notice(f"asking SLURM for {jobs} job(s); {where}")
        cluster.scale(jobs=jobs)
        yield SlurmCluster(cluster.scheduler_address, lambda: cluster.scale(jobs=jobs))


@contextmanager
def _tidied(logs: Path | None) -> Iterator[None]:
    """Remove the folder of the jobs' logs at the end, if no job wrote one."""
    try:
        yield
    finally:
        if logs is not None:
            with suppress(OSError):
                logs.rmdir()


def _try_script(script: str) -> None:
    """Ask SLURM whether it would take such a job, as a refusal later would not be seen."""
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script)
        file.flush()
        command = ["sbatch", "--test-only", file.name]
        done = subprocess.run(  # noqa: S603  # nosec B603 # no shell, and no word of it is a user's
            command, capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise EngineError(f"SLURM takes no such job: {said}; change --slurm")
