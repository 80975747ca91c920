"""A batch in several processes of this machine; one that dies costs its own case at most."""

import multiprocessing
import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from strokeseg.cohort.batch.agenda import CaseQueue
from strokeseg.cohort.batch.job import BatchJob, Listener, Outcome
from strokeseg.cohort.batch.worker import Worker
from strokeseg.cohort.cases.case import Case
from strokeseg.errors import EngineError, Interrupted, StrokesegError, UsageError
from strokeseg.machine import usable_cores

_TRIES = 2
_GLANCE_S = 0.5
_GOODBYE_S = 30.0
# What the process that gives out the cases may take itself, and what is too little for any model.
_OWN_BYTES = 256 << 20
_LEAST_SHARE_BYTES = 64 << 20


@dataclass(eq=False)
class _Member:
    """A process, the way to talk to it, and the case that it is at."""

    process: BaseProcess
    pipe: "Connection[object, object]"
    case: Case | None = None


def run_in_processes(
    agenda: CaseQueue, job: BatchJob, jobs: int, hear: Listener
) -> Generator[Outcome]:
    """Do the cases in `jobs` processes, each with models of its own and its share of the cores.

    A case whose process dies is done once more by a new one, then filed as failed.

    Raises
    ------
    StrokesegError
        The models cannot be opened, or processes die before any case is done.
    """
    crew = _ProcessPool(_share(job, jobs), hear)
    deaths: dict[str, int] = {}
    proven = False
    try:
        while len(agenda) or crew.members:
            crew.give_out(agenda, jobs)
            for case, outcome, code in crew.look():
                if outcome is None:
                    deaths[case.name] = deaths.get(case.name, 0) + 1
                    if not proven and sum(deaths.values()) > _TRIES * jobs:
                        raise EngineError(f"every process of the batch dies {_end(code)}")
                    if deaths[case.name] < _TRIES:
                        hear.on_notice(f"{case.name}: its process died {_end(code)}; once more")
                        agenda.put_back(case)
                    else:
                        yield Worker(job).give_up(case, _death(code))
                elif outcome.status == "busy":
                    agenda.defer(case, outcome.message)
                else:
                    proven = True
                    yield outcome
    finally:
        crew.dismiss()


def _share(job: BatchJob, jobs: int) -> BatchJob:
    """Give each process its share of the memory, and of the cores unless threads were asked for."""
    hardware = job.hardware
    if hardware.threads is None:
        hardware = replace(hardware, threads=max(1, usable_cores() // jobs))
    if hardware.max_memory_bytes is not None:
        share = (hardware.max_memory_bytes - _OWN_BYTES) // jobs
        if share < _LEAST_SHARE_BYTES:
            raise UsageError(
                f"--max-memory leaves {max(0, share) / 1e9:.2f} GB to each of {jobs} processes: "
                "give fewer --jobs, or allow more"
            )
        hardware = replace(hardware, max_memory_bytes=share)
    return replace(job, hardware=hardware)


class _ProcessPool:
    """The processes of a batch."""

    def __init__(self, job: BatchJob, hear: Listener) -> None:
        self.members: list[_Member] = []
        self._job = job
        self._hear = hear
        # Not forked: engines have threads, which a fork would lose.
        self._context = multiprocessing.get_context("spawn")

    def give_out(self, agenda: CaseQueue, jobs: int) -> None:
        """Give each idle process a case, start what is missing, end what is not needed."""
        while len(self.members) < jobs and len(self.members) < len(agenda) + self._busy():
            self.members.append(self._start())
        for member in [m for m in self.members if m.case is None]:
            member.case = agenda.take()
            if member.case is not None:
                with suppress(OSError):  # it has died, which is seen when it is looked at
                    member.pipe.send(member.case)
            elif not len(agenda):
                self._bury(member)

    def look(self) -> Iterator[tuple[Case, Outcome | None, int | None]]:
        """Wait a moment; give the cases that ended.

        Yields
        ------
        case, outcome, code
            The outcome is None where the process died, and `code` then what it died with.

        Raises
        ------
        StrokesegError
            What a process could not open.
        """
        wait([member.pipe for member in self.members], _GLANCE_S)
        for member in list(self.members):
            try:
                outcome = self._listen(member)
            except (EOFError, OSError):
                code = self._bury(member)
                if member.case is not None:
                    yield member.case, None, code
                continue
            if outcome is not None and member.case is not None:
                case, member.case = member.case, None
                yield case, outcome, None

    def dismiss(self) -> None:
        """Stop every process; a case that is just being saved is saved first."""
        for member in self.members:
            member.process.terminate()
        for member in list(self.members):
            self._bury(member)

    def _busy(self) -> int:
        return sum(member.case is not None for member in self.members)

    def _start(self) -> _Member:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(self._job, theirs), daemon=True)
        # Ctrl-C reaches every process of a terminal. This one answers it; the others inherit the
        # blocked signal and are told to stop.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        return _Member(process, ours)

    def _listen(self, member: _Member) -> Outcome | None:
        """Pass on what a process says of stages; give the outcome once it comes."""
        while member.pipe.poll():
            said = member.pipe.recv()
            if isinstance(said, Outcome):
                return said
            if isinstance(said, StrokesegError):
                raise said
            if isinstance(said, tuple):
                self._hear.on_stage(*said)
            else:
                self._hear.on_notice(str(said))
        return None

    def _bury(self, member: _Member) -> int | None:
        """Let a process end, or end it, and give its exit code."""
        self.members.remove(member)
        member.pipe.close()
        member.process.join(_GOODBYE_S)
        if member.process.is_alive():
            member.process.kill()
            member.process.join()
        return member.process.exitcode


def _death(code: int | None) -> EngineError:
    return EngineError(
        f"its process died {_TRIES} times {_end(code)}, likely for want of memory: try fewer "
        "--jobs, a smaller --window or --max-memory"
    )


def _end(code: int | None) -> str:
    """Say how a process ended."""
    if code is not None and code < 0:
        return f"by {signal.Signals(-code).name}"
    return f"with exit code {code}"


class _PipeListener:
    """Sends what it hears to the process that gives out the cases."""

    def __init__(self, pipe: "Connection[object, object]") -> None:
        self._pipe = pipe

    def on_stage(self, case: str, stage: str) -> None:
        """Send a stage."""
        self._send((case, stage))

    def on_outcome(self, outcome: Outcome) -> None:
        """Do nothing: outcomes are sent when all of a case is over."""

    def on_notice(self, text: str) -> None:
        """Send a line."""
        self._send(text)

    def _send(self, said: object) -> None:
        with suppress(OSError):  # nobody listens any more: the case is finished all the same
            self._pipe.send(said)


def _serve(job: BatchJob, pipe: "Connection[object, object]") -> None:
    """Do the cases that come, one after the other, until nobody sends any more.

    SIGTERM ends it after the next pass of the network, so that nothing is cut off while it is read
    or saved.
    """
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    worker = Worker(job, _PipeListener(pipe), stop.is_set)
    try:
        while isinstance(case := pipe.recv(), Case) and not stop.is_set():
            pipe.send(_run(worker, case))
    except (EOFError, OSError, Interrupted):
        return
    finally:
        worker.close()


def _run(worker: Worker, case: Case) -> Outcome | StrokesegError:
    try:
        return worker.run(case)
    except Interrupted:
        raise
    except StrokesegError as error:
        return error
