"""The report's folder: made beside its place and swapped in when it is whole."""

import json
import os
import platform
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from strokeseg.errors import CannotCreateError, ReadWriteError, StrokesegError
from strokeseg.files.json_files import read_json
from strokeseg.files.links import leads_out
from strokeseg.machine import is_alive
from strokeseg.results.archive import REPORT_FOLDER

MANIFEST = "manifest.json"
_MARK = "strokeseg report"
_HOST = re.sub(r"[^A-Za-z0-9-]", "-", platform.node()) or "host"


class ReportFolder:
    """A new report, which takes the place of an earlier one all at once.

    Parameters
    ----------
    output : Path
        The cohort's output folder.

    Attributes
    ----------
    final : Path
        Where the report will be.
    earlier : mapping
        Manifest of the report that is there; empty where there is none.

    Raises
    ------
    CannotCreateError
        On entering, if the folder cannot be written in, or something else has the report's name.
    """

    def __init__(self, output: Path) -> None:
        self.final = output / REPORT_FOLDER
        self.earlier: Mapping[str, Any] = {}
        self._output = output
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        """Look at what is there, and make the new folder."""
        _clear_up(self._output, self.final)
        if os.path.lexists(self.final):
            self.earlier = _earlier(self.final)
        try:
            folder = self._output / _hidden_name("new")
            folder.mkdir()
            self._folder = folder
        except OSError as error:
            raise CannotCreateError(
                f"cannot write in {self._output}: {error.strerror}; the report is made there"
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove what did not take its place."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def write(self, name: str, content: bytes) -> None:
        """Write a file, given by its POSIX path below the report.

        Raises
        ------
        ReadWriteError
            If writing fails.
        """
        path = self._path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # it may be a link to the earlier report's
            path.write_bytes(content)
        except OSError as error:
            raise ReadWriteError(
                f"{self.final / name}: writing failed ({error.strerror}); the earlier report, if "
                "there was one, is as it was"
            ) from error

    def keep(self, name: str, sound: Callable[[bytes], bool] | None = None) -> bool:
        """Take over a file of the earlier report; whether there is one, of sound content."""
        old, new = self.final / name, self._path(name)
        if not old.is_file() or leads_out(old, self.final):
            return False
        try:
            if sound is not None and not sound(old.read_bytes()):
                return False
            new.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(old, new)
            except OSError:  # a file system without links
                shutil.copyfile(old, new)
        except OSError:
            return False
        return True

    def commit(self, manifest: Mapping[str, Any]) -> Path:
        """Write the manifest and put the report in place; gives its index.

        Raises
        ------
        ReadWriteError
            If that fails. The earlier report is put back.
        """
        marked = {"what": _MARK, **manifest}
        self.write(MANIFEST, json.dumps(marked, sort_keys=True).encode())
        new = self._path("")
        aside = self._output / _hidden_name("old")
        try:
            if os.path.lexists(self.final):
                self.final.rename(aside)
            new.rename(self.final)
        except OSError as error:
            raise ReadWriteError(
                f"{self.final}: cannot be put in place ({error.strerror}); close what holds it open"
            ) from error
        finally:
            if aside.exists() and not self.final.exists():
                aside.rename(self.final)
        self._folder = None
        shutil.rmtree(aside, ignore_errors=True)
        return self.final / "index.html"

    def _path(self, name: str) -> Path:
        if self._folder is None:
            raise ReadWriteError(f"{self.final} is written inside its `with` alone")
        return self._folder / name


def _hidden_name(kind: str) -> str:
    """Name a folder beside the report after this process, which may be killed."""
    return f".{REPORT_FOLDER}.{_HOST}.{os.getpid()}.{secrets.token_hex(4)}.{kind}"


def _clear_up(output: Path, final: Path) -> None:
    """Put back or remove what a killed process of this machine left beside the report."""
    for path in sorted(output.glob(f".{REPORT_FOLDER}.{_HOST}.*")):
        *_, process, _, kind = path.name.rsplit(".", 4)
        if kind not in ("new", "old") or not process.isdigit() or is_alive(int(process)):
            continue
        try:
            if kind == "old" and not os.path.lexists(final):
                path.rename(final)
            else:
                shutil.rmtree(path)
        except OSError:  # left for the next time
            continue


def _earlier(final: Path) -> Mapping[str, Any]:
    """Read the manifest of the report that is there; refuse what is none."""
    try:
        manifest = read_json(final / MANIFEST)
    except StrokesegError as error:
        manifest = {"what": error}
    if final.is_symlink() or manifest.get("what") != _MARK:
        raise CannotCreateError(
            f"{final} is no report of strokeseg and would be replaced: move it away"
        )
    return manifest
