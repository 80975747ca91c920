"""The way to a Dask cluster: one that runs, or one that is started by SLURM for this batch."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from strokeseg.cohort.batch.job import BatchJob, Listener
from strokeseg.errors import EngineError

if TYPE_CHECKING:
    from distributed import Client, Future

INSTALL = "pip install 'strokeseg[cluster]'"
_CONNECT_S = 30.0
_KEEP_UP_S = 60.0


class Connection:
    """A Dask client, with the errors of a cluster that goes away turned into ours.

    Parameters
    ----------
    client
        Connected.
    name
        What to call the cluster.
    keep_up
        Asks for workers anew where some have ended.
    """

    def __init__(self, client: "Client", name: str, keep_up: Callable[[], None]) -> None:
        self.client = client
        self.name = name
        self._keep_up = keep_up
        self._kept_up = time.monotonic()

    @classmethod
    @contextmanager
    def open(
        cls,
        job: BatchJob,
        hear: Listener,
        *,
        address: str | None,
        slurm: Mapping[str, str] | None,
    ) -> Iterator["Connection"]:
        """Connect to a scheduler, or start one whose workers SLURM runs.

        Raises
        ------
        EngineError
            What is needed is not installed, or the scheduler does not answer.
        """
        try:
            from distributed import Client
        except ImportError as error:
            raise EngineError(f"Dask is not installed; {INSTALL}") from error
        _silence_logs()
        with ExitStack() as stack:
            if slurm is None:
                target, name = address, f"the Dask scheduler at {address}"
                keep_up: Callable[[], None] = lambda: None  # noqa: E731
            else:
                from strokeseg.cohort.batch.cluster.slurm import LOG_FOLDER, started_cluster

                logs = None if job.anonymise else job.output / LOG_FOLDER
                cluster = stack.enter_context(started_cluster(slurm, logs, hear))
                target, name, keep_up = cluster.address, "the SLURM jobs", cluster.keep_up
            try:
                client = stack.enter_context(
                    Client(target, timeout=_CONNECT_S, set_as_default=False)
                )
            except (OSError, TimeoutError, ValueError) as error:
                raise EngineError(
                    f"{name} does not answer ({_one_line(error)}): check that it runs and that "
                    "this machine reaches it"
                ) from error
            yield cls(client, name, keep_up)

    def workers(self) -> Sequence[str]:
        """List the addresses of the workers that are there."""
        if time.monotonic() - self._kept_up > _KEEP_UP_S:
            self._kept_up = time.monotonic()
            self._keep_up()
        try:
            return sorted(self.client.nthreads())
        except (OSError, TimeoutError, RuntimeError, CancelledError) as error:
            raise self._gone() from error

    def wait(
        self, futures: "Sequence[Future[object]]", seconds: float, *, first: bool = False
    ) -> None:
        """Wait until all futures have ended, or the first has; `seconds` at most."""
        from distributed import wait

        if not futures:
            return
        try:
            with self.client.as_current():
                wait(futures, seconds, "FIRST_COMPLETED" if first else "ALL_COMPLETED")
        except TimeoutError:
            return
        except (CancelledError, asyncio.CancelledError):  # which ones, their status says
            return

    def check(self) -> None:
        """See that the scheduler is there.

        Raises
        ------
        EngineError
            It has gone.
        """
        if self.client.status in ("closing", "closed"):
            raise self._gone()

    def _gone(self) -> EngineError:
        return EngineError(f"{self.name} has gone; the same command goes on with what is left")


def _silence_logs() -> None:
    """Keep Dask's log out of the progress; what it has to say comes back as errors.

    Its event loop, Tornado's, has a log too: Ctrl-C between two calls leaves a trace there.
    """
    loggers = ("distributed", "tornado")
    names = [name for name in logging.root.manager.loggerDict if name.startswith(loggers)]
    for name in (*loggers, *names):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
