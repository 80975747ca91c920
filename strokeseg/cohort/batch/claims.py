"""Claims: which run is at which case, so that two runs into one folder never do the same one.

A claim is a small file in a hidden folder of the output. Its owner touches it again and again; one
that was left behind by a process that died is taken over. How old a claim is the clock of the file
system tells when it is first seen, and from then on the time for which it was not touched: a clock
that jumps meanwhile neither takes a claim away nor keeps it for ever.
"""

import json
import os
import platform
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256 as hash_of
from pathlib import Path
from typing import Self

from strokeseg.errors import CannotCreateError, ReadWriteError
from strokeseg.machine import is_alive

FOLDER = ".strokeseg_claims"
_BEAT_S = 20.0
# Network file systems may show a file's time a minute late.
_STALE_S = 300.0
# A process of this machine that is alive but has not touched its claim for so long is another one
# that was given the same number.
_STALE_HERE_S = 3600.0
# A claim is written at once; one that cannot be read for so long never will be.
_STALE_UNREADABLE_S = 30.0
_TRIES = 10


@dataclass(frozen=True)
class Holder:
    """Who has a claim."""

    run: str
    host: str
    pid: int

    @classmethod
    def here(cls, run: str, *, anonymous: bool = False) -> Self:
        """Describe this process. Containers with process numbers of their own are other hosts."""
        try:
            space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - it is no path
        except OSError:
            space = ""
        host = f"{platform.node()} {space}".strip()
        if anonymous:
            host = f"host-{hash_of(host.encode()).hexdigest()[:8]}"
        return cls(run, host, os.getpid())

    def __str__(self) -> str:
        """Name the process for people."""
        return f"process {self.pid} on {self.host.split(' ')[0]}" if self.pid else "another run"


_UNKNOWN = Holder("", "", 0)


@dataclass(frozen=True)
class _Sighting:
    """A claim's time of touching, when that was first seen by `time.monotonic`, its age then."""

    touched_ns: int
    at_s: float
    age_s: float


class Claims:
    """The claims of one process, in the output folder of one cohort.

    Parameters
    ----------
    output : Path
        The cohort's output folder.
    run : str
        The run that this process works for. A claim of the same run by another process is one that
        this run has given up, as its worker is gone, and is taken over.
    anonymous : bool
        Whether claims tell hosts apart without naming them.
    """

    def __init__(self, output: Path, run: str, *, anonymous: bool = False) -> None:
        self._folder = output / FOLDER
        self._self = Holder.here(run, anonymous=anonymous)
        self._lock = threading.Lock()
        self._held: set[Path] = set()
        self._sightings: dict[Path, _Sighting] = {}
        self._beating = False
        self._ended = threading.Event()

    def take(self, key: str) -> Holder | None:
        """Claim something; returns None if it is ours now, else who has it.

        Raises
        ------
        CannotCreateError
            If nothing can be created in the output folder.
        ReadWriteError
            If the disk is full.
        """
        path = self._folder / f"{key}.json"
        holder = _UNKNOWN
        if path in self._held:
            return self._self
        if self._folder.is_symlink():
            raise CannotCreateError(f"{self._folder} is a link: remove it, claims are files there")
        for _ in range(_TRIES):
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                holder = _read(path)
                if not self._is_stale(path, holder):
                    return holder
                _take_away(path, holder)
            except FileNotFoundError:  # another run has just ended and removed the folder
                continue
            except OSError as error:
                raise CannotCreateError(
                    f"cannot write in {self._folder.parent}: {error.strerror}; choose another "
                    "folder"
                ) from error
            else:
                self._write(descriptor, path)
                self._keep(path)
                return None
        return holder

    def _write(self, descriptor: int, path: Path) -> None:
        """Say in a claim whose it is; one that cannot be said is given up."""
        try:
            with os.fdopen(descriptor, "w") as stream:
                json.dump(vars(self._self), stream)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise ReadWriteError(
                f"cannot write in {self._folder.parent} ({error.strerror}); free some space or "
                "choose another folder"
            ) from error

    def release(self, key: str) -> None:
        """Give a claim up; one that is not ours is left alone."""
        path = self._folder / f"{key}.json"
        with self._lock:
            if path not in self._held:
                return
            self._held.discard(path)
        if _read(path) == self._self:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Give everything up."""
        self._ended.set()
        for path in list(self._held):
            self.release(path.stem)

    def sweep(self) -> None:
        """Remove what dead processes left, and the folder once it is empty; for a run's end."""
        if self._folder.is_symlink():  # what lies behind it is not ours to remove
            return
        with suppress(OSError):
            for path in sorted(self._folder.iterdir()):
                holder = _read(path)
                if self._is_left_behind(path, holder):
                    _take_away(path, holder)
            self._folder.rmdir()

    def _keep(self, path: Path) -> None:
        with self._lock:
            self._held.add(path)
            if not self._beating:
                self._beating = True
                threading.Thread(target=self._beat, name="claims", daemon=True).start()

    def _beat(self) -> None:
        """Touch what is held, so that others see that this process lives."""
        while not self._ended.wait(_BEAT_S):
            with self._lock:
                if not self._held:
                    self._beating = False
                    return
                held = list(self._held)
            for path in held:
                with suppress(OSError):
                    os.utime(path)

    def _is_stale(self, path: Path, holder: Holder) -> bool:
        """Tell whether a claim may be taken over: it is of this run, or nobody's any more."""
        return holder.run == self._self.run or self._is_left_behind(path, holder)

    def _is_left_behind(self, path: Path, holder: Holder) -> bool:
        """Tell whether the process that made a claim is gone."""
        mine = self._self
        if holder == mine:
            return path not in self._held
        if holder == _UNKNOWN:
            return self._age_s(path) > _STALE_UNREADABLE_S
        if holder.host == mine.host:
            return not is_alive(holder.pid) or self._age_s(path) > _STALE_HERE_S
        return self._age_s(path) > _STALE_S

    def _age_s(self, path: Path) -> float:
        """Seconds since a claim was touched; 0 for one that has gone meanwhile."""
        now = time.monotonic()
        try:
            touched_ns = path.stat().st_mtime_ns
            seen = self._sightings.get(path)
            if seen is None:
                age_s = max(0.0, (self._file_system_ns() - touched_ns) / 1e9)
                seen = _Sighting(touched_ns, now, age_s)
            elif seen.touched_ns != touched_ns:
                seen = _Sighting(touched_ns, now, 0.0)
        except OSError:
            return 0.0
        self._sightings[path] = seen
        return seen.age_s + now - seen.at_s

    def _file_system_ns(self) -> int:
        """Tell the time by the clock of the file system that the claims are on."""
        with tempfile.TemporaryFile(dir=self._folder) as probe:  # it has no name that could stay
            return os.fstat(probe.fileno()).st_mtime_ns


def _read(path: Path) -> Holder:
    """Read who has a claim; one that is being written at this moment is of nobody known."""
    try:
        content = json.loads(path.read_bytes())
        return Holder(str(content["run"]), str(content["host"]), int(content["pid"]))
    except (OSError, ValueError, TypeError, KeyError):
        return _UNKNOWN


def _take_away(path: Path, holder: Holder) -> None:
    """Remove a stale claim, unless another process has just replaced it by its own."""
    aside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    with suppress(OSError):
        path.replace(aside)
        if _read(aside) == holder:
            aside.unlink()
        else:
            aside.replace(path)
