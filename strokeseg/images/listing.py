"""Which image files lie in a folder, however deep."""

import os
from collections.abc import Iterator
from pathlib import Path

from strokeseg.errors import InputNotFoundError
from strokeseg.images.file_names import is_header_name, is_image_name, other_half_names


def list_folders(folder: Path) -> list[str]:
    """Give the names of the folders in a folder, sorted, hidden ones left out; links count too."""
    return sorted(entry.name for entry in _entries(folder) if _is_dir(entry))


def list_images(folder: Path, *, deep: bool = True) -> list[str]:
    """Give the images in a folder, sorted, as POSIX paths relative to it.

    Hidden files and folders are left out, and the header of an .img/.hdr pair. A folder is entered
    once, so links in a circle end; a link to nothing is listed, as its case will fail by name.

    Raises
    ------
    InputNotFoundError
        If a folder cannot be read.
    """
    found: list[str] = []
    entered: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        names = set()
        for entry in _entries(folder / inside, entered):
            if _is_dir(entry):
                waiting += [f"{inside}{entry.name}/"] if deep else []
            elif is_image_name(entry.name):
                names.add(entry.name)
        found += [inside + name for name in names if not _is_second_half(name, names)]
    return sorted(found)


def _entries(
    folder: Path, entered: set[tuple[int, int]] | None = None
) -> Iterator["os.DirEntry[str]"]:
    """Go through what is in a folder and not hidden, in the order of names.

    A folder in `entered` gives nothing; others are added to it.
    """
    try:
        status = folder.stat()
        if entered is not None and (status.st_dev, status.st_ino) in entered:
            return
        if entered is not None:
            entered.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise InputNotFoundError(
            f"{folder}: the folder cannot be read ({error.strerror}); check its permissions"
        ) from error
    yield from sorted(shown, key=lambda entry: entry.name)


def _is_dir(entry: "os.DirEntry[str]") -> bool:
    """Tell whether an entry is a folder or a link to one; a link in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_second_half(name: str, names: set[str]) -> bool:
    """Tell whether a file is the header of a pair whose voxels are listed."""
    return is_header_name(name) and not names.isdisjoint(other_half_names(name))
