"""Files that appear under their final names only when all of them are whole.

The outputs of one case are written into a hidden folder inside the output folder, so on one file
system, and renamed at the end. Ctrl-C, a full disk or a fault before that leaves nothing behind.
"""

import os
import shutil
import tempfile
from hashlib import sha256 as hash_of
from pathlib import Path
from types import TracebackType
from typing import Self

from strokeseg.errors import CannotCreateError, ReadWriteError, StrokesegError

STAGING = ".strokeseg-"


class Staging:
    """Collects the outputs of one case and puts them in place together.

    Parameters
    ----------
    directory : Path
        Where the files belong; created, with its parents, on entering.
    last : str, optional
        Name of the file that vouches for the others (the record): an old one is taken away
        before any other file is replaced, and the new one comes last.

    Raises
    ------
    CannotCreateError
        On entering, if the directory cannot be created or written in.

    Examples
    --------
    >>> with Staging(Path("out"), last="sub-01_strokeseg.json") as staging:  # doctest: +SKIP
    ...     write_text(staging.path_for("sub-01_label-L_lesions.tsv"), table)
    ...     write_json(staging.path_for("sub-01_strokeseg.json"), record)
    ...     staging.commit()
    """

    def __init__(self, directory: Path, last: str | None = None) -> None:
        self.directory = directory
        self._last = last
        self._names: list[str] = []
        self._new_directories: list[Path] = []
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        """Create the directory, and the hidden folder in it."""
        try:
            above = (self.directory, *self.directory.parents)
            self._new_directories = [path for path in above if not path.exists()]
            self.directory.mkdir(parents=True, exist_ok=True)
            prefix = staging_prefix(self._last)
            self._folder = Path(tempfile.mkdtemp(prefix=prefix, dir=self.directory))
        except OSError as error:
            self._remove_new_directories()
            raise CannotCreateError(
                f"cannot write in {self.directory}: {error.strerror}; choose another folder with -o"
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove what was not committed, and directories that were made for nothing.

        An error then names a file as it would have been called, not where it was for a while.
        """
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        self._remove_new_directories()
        if isinstance(error, StrokesegError) and folder is not None and str(folder) in str(error):
            raise type(error)(str(error).replace(str(folder), str(self.directory))) from error

    def path_for(self, name: str) -> Path:
        """Return where to write the file that will be called `name`.

        Raises
        ------
        CannotCreateError
            If `name` is not a plain file name.
        """
        if name != Path(name).name or name in ("", ".", ".."):
            raise CannotCreateError(f"{name!r} is no file name: give it without a folder")
        if name not in self._names:
            self._names.append(name)
        return self._open_folder() / name

    def commit(self) -> tuple[Path, ...]:
        """Rename every file to its final name and return those names; all of them, or none.

        What stood there before is put back if a rename fails or is interrupted.

        Raises
        ------
        ReadWriteError
            If a file was not written, or cannot be renamed.
        """
        folder = self._open_folder()
        names = sorted(self._names, key=lambda name: name == self._last)
        absent = [name for name in names if not (folder / name).is_file()]
        if absent:
            raise ReadWriteError(f"{self.directory / absent[0]} was never written")
        undo: list[tuple[Path, Path]] = []
        try:
            self._set_aside(folder, names, undo)
            for name in names:
                undo.append((self.directory / name, folder / name))
                (folder / name).replace(self.directory / name)
        except BaseException as error:
            kept = ""
            if not _move_back(undo):
                kept, self._folder = f"; what was there before is kept in {folder}", None
            if not isinstance(error, OSError):
                raise
            raise ReadWriteError(
                f"cannot put {error.filename2 or error.filename} in place: {error.strerror}{kept}"
            ) from error
        self._names.clear()
        return tuple(self.directory / name for name in names)

    def _set_aside(self, folder: Path, names: list[str], undo: list[tuple[Path, Path]]) -> None:
        old = Path(tempfile.mkdtemp(dir=folder))
        for name in reversed(names):
            final = self.directory / name
            if final.is_dir() and not final.is_symlink():
                raise ReadWriteError(f"{final} is a folder: move it away, or choose a --prefix")
            if os.path.lexists(final):
                undo.append((old / name, final))
                final.replace(old / name)

    def _open_folder(self) -> Path:
        if self._folder is None:
            raise ReadWriteError(f"nothing can be written to {self.directory} outside its `with`")
        return self._folder

    def _remove_new_directories(self) -> None:
        for path in self._new_directories:
            try:
                path.rmdir()
            except FileNotFoundError:
                continue
            except OSError:  # Not empty: the outputs are in it, or somebody else's files.
                break
        self._new_directories = []


def staging_prefix(last: str | None) -> str:
    """Give how the names of hidden folders start that are of one case, told by its record's name.

    So one that a killed process left, empty or not, is known beside those of other cases.
    """
    return STAGING if last is None else f"{STAGING}{hash_of(last.encode()).hexdigest()[:12]}-"


def _move_back(moves: list[tuple[Path, Path]]) -> bool:
    """Undo renames as far as that can be done, and tell whether it could."""
    done = True
    for source, target in reversed(moves):
        try:
            source.replace(target)
        except FileNotFoundError:  # it was never moved
            continue
        except OSError:
            done = False
    return done
