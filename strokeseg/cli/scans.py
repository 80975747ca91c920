"""The scans of one case, from a command line: one file a contrast, and each file once."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from strokeseg.errors import UsageError


def scans_of(given: Mapping[str, Sequence[str] | None], others: Sequence[str]) -> dict[str, Path]:
    """Gather the scans of a case.

    Parameters
    ----------
    given : mapping
        What each option of one scan was set to, by contrast, in the order of the words.
    others : sequence of str
        What ``--image`` was set to: NAME=FILE.

    Raises
    ------
    UsageError
        If an option is empty or was given twice, or one file is given as two contrasts.
    """
    images: dict[str, Path] = {}
    for name, files in given.items():
        if files:
            images[name] = _only(f"--{name}", files)
    for pair in others:
        name, separator, file = pair.partition("=")
        if not separator or not name or not file:
            raise UsageError(f"--image {pair}: give NAME=FILE, such as --image swi=swi.nii.gz")
        if name in images:
            raise UsageError(f"--image {pair}: {name} was given already, as {images[name]}")
        images[name] = Path(file)
    _check_each_once(images)
    return images


def _only(option: str, files: Sequence[str]) -> Path:
    """Give the one file of an option."""
    if not all(files):
        raise UsageError(f"{option} is empty: name a file, or leave the option out")
    if len(files) > 1:
        raise UsageError(
            f"{option} was given {'twice' if len(files) == 2 else f'{len(files)} times'} "
            f"({' and '.join(files)}): give one scan; another of the same contrast can come as "
            f"--image {option.removeprefix('--')}b=FILE"
        )
    return Path(files[0])


def _check_each_once(images: Mapping[str, Path]) -> None:
    """Refuse one file for two contrasts, by whatever path or link."""
    first: dict[str, str] = {}
    for name, path in images.items():
        known = first.setdefault(os.path.realpath(path), name)
        if known != name:
            raise UsageError(
                f"--{known} and --{name} name one file, {path}: give each scan once, by its own "
                "contrast"
            )
