"""Networks that OpenVINO has compiled, kept on the disk for the next process.

To write a network's graph, read it and compile it takes longer than to take up what was compiled
before; the numbers that come out are the same. A file is named by the sha256 of all that it hangs
on: the weights, the code that writes the graph, OpenVINO and how it is set, the processor and the
window. One that is damaged, or belongs to somebody else, is not used; one that cannot be written is
not missed.
"""

import contextlib
import os
import secrets
import time
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from strokeseg import network
from strokeseg._version import __version__

ENDING = ".openvino"
MOST_BYTES = 400 << 20
_DIGEST_BYTES = 32
_LEFT_BEHIND_S = 3600.0


@dataclass(frozen=True)
class KeptNetworks:
    """The compiled networks of one model.

    Parameters
    ----------
    folder
        Where they are kept, with those of other models; made when it is needed.
    model
        Says which weights and which architecture, such as a sha256 of both.
    most_bytes
        What all files of the folder may take; the ones used longest ago leave.
    """

    folder: Path
    model: str
    most_bytes: int = MOST_BYTES

    def read(self, setting: str) -> bytes | None:
        """Give what was kept under a setting; None where that is nothing, or not whole."""
        path = self._path(setting)
        try:
            if not _is_ours(path):
                return None
            with path.open("rb") as stream:
                digest, compiled = stream.read(_DIGEST_BYTES), stream.read()
            if sha256(compiled).digest() != digest:
                path.unlink()
                return None
            os.utime(path)
        except OSError:
            return None
        return compiled

    def write(self, setting: str, compiled: bytes | memoryview) -> None:
        """Keep what was compiled under a setting, if that can be done."""
        if _DIGEST_BYTES + len(compiled) > self.most_bytes:
            return
        path = self._path(setting)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                with os.fdopen(
                    os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
                ) as stream:
                    stream.write(sha256(compiled).digest())
                    stream.write(compiled)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            self._make_room()

    def forget(self, setting: str) -> None:
        """Drop what OpenVINO would not take up again."""
        with contextlib.suppress(OSError):
            self._path(setting).unlink(missing_ok=True)

    def _path(self, setting: str) -> Path:
        about = "\n".join((self.model, _program(), setting))
        return self.folder / f"{sha256(about.encode()).hexdigest()[:32]}{ENDING}"

    def _make_room(self) -> None:
        """Remove what was used longest ago, and what a process that was ended left behind."""
        now = time.time()
        for path in self.folder.glob(f".*{ENDING}.*.tmp"):
            if now - path.stat().st_mtime > _LEFT_BEHIND_S:
                path.unlink(missing_ok=True)
        known = [(path.stat(), path) for path in self.folder.glob(f"*{ENDING}")]
        taken = sum(about.st_size for about, _ in known)
        for about, path in sorted(known, key=lambda pair: pair[0].st_mtime):
            if taken <= self.most_bytes:
                return
            path.unlink(missing_ok=True)
            taken -= about.st_size


def _is_ours(path: Path) -> bool:
    """Tell whether it is a file of this user: what others wrote is not handed to OpenVINO."""
    if not path.is_file() or path.is_symlink():
        return False
    return not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()


@cache
def _program() -> str:
    """Say which code writes graphs."""
    said = sha256(__version__.encode())
    for folder in network.__path__:
        for path in sorted(Path(folder).glob("*.py")):
            said.update(path.read_bytes())
    return said.hexdigest()
