"""Results and messages that name nobody: pseudonyms, and words that are taken out.

A pseudonym is the start of the reference scan's sha256. It is the same from run to run, so that a
batch can go on where it was, and no list of names has to be kept or kept secret: whoever has the
scan finds its results again by ``sha256sum``, and nobody else can. Whoever has the scan could tell
them by their picture and their grid as well.
"""

import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from strokeseg.errors import StrokesegError
from strokeseg.files.checksums import sha256, sha256_of_all
from strokeseg.images.file_names import is_image_name, other_half_names
from strokeseg.images.filetype import header_and_voxels
from strokeseg.images.stream import require_file
from strokeseg.results.output_names import UNNAMED_PREFIX, prefix_of
from strokeseg.results.record import Record

DIGITS = 12
_SHORTEST_HOST = 3
_EDGE = r"(?<![\w.-])"
# An absolute path that no list has; an address (https://host/x) is none.
_ABSOLUTE = re.compile(
    r"(?<![\w:/.\\])(?:/(?:[^\s'\",;:)/]|:(?=\S))+){2,}/?|\b[A-Za-z]:\\[^\s'\",;)]+"
)
# What may be a word of a message as well as the name of a folder.
_WORD = re.compile(r"[a-z]*|\W*")


def pseudonym(scan: Path | None) -> str:
    """Name a case after its reference scan's bytes; ``image`` for one that is no file.

    Of an .img/.hdr pair it is the voxels that count, as patients can share a header.

    Raises
    ------
    StrokesegError
        The file cannot be read.
    """
    if scan is None:
        return UNNAMED_PREFIX
    if scan.is_dir():  # of DICOM
        return f"sub-{sha256_of_all(scan)[:DIGITS]}"
    require_file(scan)
    return f"sub-{sha256(header_and_voxels(scan)[1])[:DIGITS]}"


def usual_prefix(reference: Path | None, *, anonymise: bool) -> str:
    """Name the outputs of a case after its reference scan: its file's name, or its pseudonym.

    Raises
    ------
    StrokesegError
        The file is there and cannot be read for its pseudonym.
    """
    if not anonymise:
        return prefix_of(reference)
    return pseudonym(reference if reference is not None and reference.exists() else None)


def without_names(record: Record) -> Record:
    """Give a record that does not say what its inputs are called and where they lie."""
    inputs = {name: replace(entry, path=None) for name, entry in record.inputs.items()}
    left_out = {name: replace(entry, path=None) for name, entry in record.left_out.items()}
    return replace(record, inputs=inputs, left_out=left_out, anonymised=True)


class Redactor:
    """Takes names and paths out of messages.

    Parameters
    ----------
    files : iterable of (path, word)
        What may not be named, and the word to say instead. The folders that they lie in, the files
        that links lead to and the other halves of .img/.hdr pairs may not be named either.
    """

    def __init__(self, files: Iterable[tuple[str | Path, str]]) -> None:
        hidden: dict[str, str] = {}
        for path, word in files:
            for form in {os.fspath(path), str(Path(path).absolute()), os.path.realpath(path)}:
                for text, said in _texts(Path(form), word):
                    hidden.setdefault(text, said)
        host = platform.node()
        if len(host) >= _SHORTEST_HOST:
            hidden.setdefault(host, "HOST")
        self._words = {spelt: said for text, said in hidden.items() for spelt in _spellings(text)}
        longest_first = sorted(self._words, key=len, reverse=True)
        listed = "|".join(rf"{_EDGE}{re.escape(text)}(?!\w)" for text in longest_first)
        self._known = re.compile(listed) if listed else None

    @classmethod
    def over(cls, images: Mapping[str, Path], output: Path) -> "Redactor":
        """Hide the files of one case, each behind its modality, and where its results go."""
        return cls([(output, "OUTPUT"), *((path, name) for name, path in images.items())])

    @classmethod
    def over_arguments(cls, arguments: Sequence[str]) -> "Redactor":
        """Hide every file and folder that a command line names."""
        files = []
        for before, word in zip(["", *arguments], arguments, strict=False):
            value = _value(word)
            if before in ("-o", "--output") or (
                value != word and word.startswith(("-o", "--output="))
            ):
                files.append((value, "OUTPUT"))
            elif not value.startswith("-") and _is_path(value):
                files.append((value, "FILE"))
        return cls(files)

    def __call__(self, message: str) -> str:
        """Give a message without them, and without any other absolute path."""
        if self._known is not None:
            message = self._known.sub(lambda match: self._words[match[0]], message)
        return _ABSOLUTE.sub("PATH", message)


def _texts(path: Path, word: str) -> Iterable[tuple[str, str]]:
    """Give what tells a file: its path, its name, its other half's, and its folder."""
    if str(path) in (".", path.anchor):
        return
    yield str(path), word
    if not _WORD.fullmatch(path.name):
        yield path.name, word
    yield from ((other, word) for other in other_half_names(path.name))
    if str(path.parent) not in (".", path.anchor):
        yield str(path.parent), "FOLDER"


def _spellings(text: str) -> set[str]:
    """Give the ways in which a message can write a text."""
    return {text, str(StrokesegError(text)), repr(text)[1:-1], ascii(text)[1:-1]}


def _value(word: str) -> str:
    """Give what an option is set to, where both are one word: --output=DIR, -oDIR."""
    if word.startswith("-o") and len(word) > 2:
        return word[2:]
    return word.partition("=")[2] if "=" in word else word


def _is_path(word: str) -> bool:
    return os.sep in word or "/" in word or is_image_name(word) or os.path.lexists(word)
