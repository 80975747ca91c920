"""Whether what is going to be written can be: checked before any work is done."""

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from strokeseg.errors import CannotCreateError


def check_outputs(targets: Sequence[Path], inputs: Iterable[Path], *, overwrite: bool) -> None:
    """Check, before any work is done, that the outputs can be written. Writes nothing itself.

    Parameters
    ----------
    targets : sequence of Path
        What is going to be written, all in one folder, see `OutputNames.chosen`.
    inputs : iterable of Path
        Files that are read, which must stay as they are.
    overwrite : bool
        Whether outputs of an earlier run may be replaced.

    Raises
    ------
    CannotCreateError
        If an output is an input or a folder, or exists and `overwrite` is false, or if the output
        folder cannot be created or written in.
    """
    existing = [path for path in targets if os.path.lexists(path)]
    sources = [path for path in inputs if path.exists()]
    for path in existing:
        if path.is_dir():
            raise CannotCreateError(f"{path} is a folder: move it away, or choose a --prefix")
        if path.exists() and any(path.samefile(source) for source in sources):
            raise CannotCreateError(
                f"{path} is an input and would be overwritten: choose another -o or --prefix"
            )
    if existing and not overwrite:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise CannotCreateError(
            f"{existing[0]} exists already{more}: pass --overwrite, or choose another -o"
        )
    for directory in {path.parent for path in targets}:
        _check_directory(directory)


def _check_directory(directory: Path) -> None:
    # A file made and removed again is the one test that read-only media, quotas and network
    # file systems answer truly.
    try:
        nearest = next(
            p for p in (directory.absolute(), *directory.absolute().parents) if p.exists()
        )
        if not nearest.is_dir():
            raise CannotCreateError(f"{nearest} is a file, not a folder: choose another -o")
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise CannotCreateError(
            f"cannot write in {directory}: {error.strerror}; choose another folder with -o"
        ) from error
