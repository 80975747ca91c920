"""Checksums of files."""

import hashlib
from pathlib import Path

from strokeseg.errors import InputNotFoundError, ReadWriteError


def sha256_of_all(path: Path) -> str:
    """SHA-256 of a file's bytes; of a folder, that of the sorted digests of all files below.

    Raises
    ------
    InputNotFoundError, ReadWriteError
        As `sha256` does.
    """
    if not path.is_dir():
        return sha256(path)
    digests = sorted(sha256(file) for file in path.rglob("*") if file.is_file())
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


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
