"""Commands in sessions of their own, and ways to kill them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import strokeseg.cohort.batch.run
import strokeseg.prediction.pipeline
import strokeseg.results.picture
from strokeseg.cli import run as run_command
from tests.cohort.cohorts import COMMAND

PATIENCE_S = 300.0
_GLANCE_S = 0.002
# Loaded before the fork, so that no run spends its time on it.
LOADED = (strokeseg.cohort.batch.run, strokeseg.prediction.pipeline, strokeseg.results.picture)


class Forked:
    """One command in a child of this process, in a session of its own."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.pid = os.fork()
        self._code: int | None = None
        if self.pid == 0:
            code = 1
            try:
                os.setsid()
                _redirect(log)
                code = run_command(arguments)
                sys.stdout.flush()
            finally:
                os._exit(code)

    def poll(self) -> int | None:
        """Give the exit code, or None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code


def _redirect(log: Path) -> None:
    with Path(os.devnull).open() as nothing, log.open("ab") as stream:
        os.dup2(nothing.fileno(), 0)
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)


Process = Forked | subprocess.Popen


def spawned(arguments: list[str], log: Path) -> "subprocess.Popen[bytes]":
    """One command as a shell starts it, in a session of its own."""
    with log.open("ab") as stream:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )


def wait(process: Process, seconds: float) -> int | None:
    """Wait for an end, at most so long; gives the exit code, or None while it runs."""
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        time.sleep(_GLANCE_S)
    return process.poll()


def kill(process: Process, *, session: bool) -> None:
    """Kill a process, or its whole session, as `kill -9` does."""
    try:
        (os.killpg if session else os.kill)(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # it has not come as far as to a session of its own
        os.kill(process.pid, signal.SIGKILL)
    wait(process, PATIENCE_S)


def kill_worker(pid: int) -> bool:
    """Kill one of a batch's worker processes; False where there is none yet, or none any more."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(int(child), signal.SIGKILL)
                return True
    except (FileNotFoundError, ProcessLookupError):
        return False
    return False
