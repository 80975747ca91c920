"""Files that appear under their final name only when they are whole."""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from strokeseg.errors import CannotCreateError, ReadWriteError


def write_atomically(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file beside its final place, bring it to the disk, then rename it.

    Parameters
    ----------
    path : Path
        The final name; a file that is there is replaced. Its folder must exist.
    pieces : iterable of bytes
        The content, in order.

    Raises
    ------
    CannotCreateError
        If the folder is missing or may not be written, or the name is a folder's.
    ReadWriteError
        If writing failed half-way (disk full, medium gone). Nothing is left behind.
    """
    if path.is_dir():
        raise CannotCreateError(f"{path}: is a folder; name a file to write")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:
        raise CannotCreateError(
            f"{path}: cannot be created ({error.strerror}); choose a folder that exists and that "
            "you may write to"
        ) from error
    try:
        with os.fdopen(descriptor, "wb") as stream:
            for piece in pieces:
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ReadWriteError(
            f"{path}: writing failed ({error.strerror}); nothing was kept, free some space or "
            "choose another folder"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all, as `write_atomically` does."""
    write_atomically(path, [text.encode("utf-8")])
