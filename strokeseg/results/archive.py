"""Finished cases as they lie on disk: their records, errors and files."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strokeseg.errors import DataError, InputNotFoundError, StrokesegError
from strokeseg.files.checksums import sha256
from strokeseg.files.json_files import read_json
from strokeseg.files.links import is_link_out
from strokeseg.files.safe_names import name_fault
from strokeseg.images.file_names import is_image_name
from strokeseg.results.output_names import ALL_KINDS, ERROR_ENDING, RECORD_ENDING, OutputNames
from strokeseg.results.record import InputRecord, Record, text

# Folders below a cohort's output that hold no cases.
REPORT_FOLDER = "report"
OVERLAP_FOLDER = "overlap"
COHORT_TABLE = "cohort.tsv"
LESION_TABLE = "lesions.tsv"

PICTURE_NAME = "overlap.png"


@dataclass(frozen=True)
class FiledCase:
    """One case of an output folder.

    Attributes
    ----------
    name : str
        The case's name in its cohort; its prefix, where it was predicted alone.
    prefix : str
        Start of its files' names.
    names : OutputNames
        Full path of every file that it can have.
    record : Record or None
        Its record; None where there is none.
    content : mapping or None
        The same as it lies on the disk.
    error : mapping or None
        Why its last try failed; None if it did not.
    damage : str
        Why its record or error file cannot be read, which is then the message of `error`, too;
        empty if nothing is wrong with them.
    """

    name: str
    prefix: str
    names: OutputNames
    record: Record | None
    content: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    damage: str = ""


def error_path(names: OutputNames) -> Path:
    """Give the file that tells why a case failed."""
    return names.record.with_name(names.record.name.removesuffix(RECORD_ENDING) + ERROR_ENDING)


def find_filed_cases(output: Path) -> tuple[FiledCase, ...]:
    """Find every case of an output folder, however deep, sorted by name.

    One whose record or error file cannot be read is a failed case, and hinders no other.

    Raises
    ------
    InputNotFoundError
        There is no such folder.
    DataError
        A file of a case is a link out of the folder, a pipe or a device.
    """
    if not output.is_dir():
        raise InputNotFoundError(f"{output}: no such folder; give the OUTPUT of a batch")
    cases = []
    for folder, names, odd in _walk(output):
        stems = {
            name.removesuffix(ending)
            for name in names
            for ending in (RECORD_ENDING, ERROR_ENDING)
            if name.endswith(ending) and name != ending
        }
        cases += [_filed(folder / stem, output, odd) for stem in sorted(stems)]
    return tuple(sorted(cases, key=lambda case: case.name))


def some_filed_cases(output: Path) -> tuple[FiledCase, ...]:
    """Find the cases of an output folder that holds one at least.

    Raises
    ------
    InputNotFoundError
        There is no such folder, or no case in it.
    DataError
        As `find_filed_cases` does.
    """
    cases = find_filed_cases(output)
    if not cases:
        raise InputNotFoundError(
            f"{output}: holds no case; give the OUTPUT of `strokeseg batch`, or the -o of "
            "`strokeseg predict`"
        )
    return cases


def _walk(output: Path) -> Iterator[tuple[Path, list[str], set[str]]]:
    """Give each folder, its files, and which of them are links, pipes or devices.

    Hidden ones, and folders of the whole cohort, are left out; no link is entered. What a file is
    the folder tells, so that nothing is asked of each one.
    """
    waiting = [output]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                shown = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError:  # it may not be read, or has gone
            continue
        skipped = {REPORT_FOLDER, OVERLAP_FOLDER} if folder == output else set()
        folders = {entry.name for entry in shown if entry.is_dir(follow_symlinks=False)}
        waiting += [folder / name for name in sorted(folders - skipped, reverse=True)]
        files = [entry for entry in shown if entry.name not in folders]
        odd = {entry.name for entry in files if not entry.is_file(follow_symlinks=False)}
        yield folder, [entry.name for entry in files], odd


def _filed(stem: Path, output: Path, odd: set[str]) -> FiledCase:
    names = OutputNames.for_prefix(stem.parent, stem.name)
    failed = error_path(names)
    for path in (path for path in (*names.chosen(ALL_KINDS), failed) if path.name in odd):
        if is_link_out(path, output):
            raise DataError(
                f"{path}: is a link that leads out of {output}; put the file itself there, or "
                "remove it and run this case again"
            )
        if path.exists() and not path.is_file() and not path.is_dir():
            raise DataError(f"{path}: is a pipe or a device: remove it and run this case again")
    content, no_record = _read_if_there(names.record, output)
    error, no_error = _read_if_there(failed, output)
    damage = no_record or no_error
    if damage:
        error = {**(error or {}), "message": damage}
    record = None if content is None else Record.read(content)
    named = (text((error or {}).get("case")), None if record is None else record.case)
    name = next((n for n in named if n and not name_fault(n)), stem.name)
    return FiledCase(name, stem.name, names, record, content, error, damage)


def _read_if_there(path: Path, output: Path) -> tuple[dict[str, Any] | None, str]:
    """Read a file of a case, if there is one; gives its content, and why it cannot be read."""
    if not os.path.lexists(path):
        return None, ""
    try:
        return read_json(path), ""
    except StrokesegError as error:
        if isinstance(error.__cause__, FileNotFoundError):  # a run has taken it away meanwhile
            return None, ""
        return None, below(str(error), output)


def below(message: str, output: Path) -> str:
    """Name files in a message from the output folder on, as everything in that folder does."""
    return message.replace(f"{output}{os.sep}", "")


def reference_places(record: Record, folders: Sequence[Path]) -> list[Path]:
    """Say where the scan that a record's results are on the grid of can lie.

    Parameters
    ----------
    record : Record
        Of a case.
    folders : sequence of Path
        Where a relative path may start from.

    Returns
    -------
    list of Path
        None of them opened yet; empty where the record names no image.
    """
    return input_places(record.reference_input, folders)


def input_places(entry: InputRecord, folders: Sequence[Path]) -> list[Path]:
    """Say where an input can lie, as `reference_places` does for the reference."""
    stored = entry.path
    if stored is None or not is_image_name(Path(stored).name):
        return []
    path = Path(stored)
    return [path] if path.is_absolute() else [folder / path for folder in folders]


def is_reference(path: Path, record: Record) -> bool:
    """Tell whether a file is, byte for byte, the scan that a record names.

    A record can name any file; what it does not know the checksum of is none of its inputs.
    """
    return is_input(path, record.reference_input)


def is_input(path: Path, entry: InputRecord) -> bool:
    """Tell whether a file is, byte for byte, an input as a record has it."""
    known = entry.sha256
    try:
        return known is not None and path.is_file() and sha256(path) == known
    except (StrokesegError, OSError, ValueError):  # a name that no file system takes, too
        return False
