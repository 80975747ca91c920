"""Checksums of files."""

import hashlib
from pathlib import Path

from strokeseg.errors import InputNotFoundError, ReadWriteError


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    str
        64 hexadecimal digits in lower case.

    Raises
    ------
    InputNotFoundError
        If there is no such file, or it may not be read.
    ReadWriteError
        If reading failed half-way.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise InputNotFoundError(
            f"{path}: cannot be read to be checked: {error.strerror}"
        ) from error
    except OSError as error:
        raise ReadWriteError(
            f"{path}: reading failed ({error}); check the disk or the mount"
        ) from error
