"""Scans that cannot be used: they end a prediction, or are left out of it and told."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from strokeseg.errors import DataError
from strokeseg.files.checksums import sha256_of_all
from strokeseg.images.reading import Source
from strokeseg.results.record import LeftOutRecord

_Read = TypeVar("_Read")


@dataclass
class LeftOut:
    """The scans of a case that are not the reference and were left out, and why.

    Parameters
    ----------
    images : mapping
        The scans of the case.
    reference : str
        The scan that cannot be left out.
    strict : bool
        Whether none can.
    """

    images: Mapping[str, Source]
    reference: str
    strict: bool
    why: dict[str, str] = field(default_factory=dict)

    def attempt(self, name: str, work: Callable[[], _Read]) -> _Read | None:
        """Do something with a scan; None if that fails and the scan can be left out.

        Raises
        ------
        DataError
            If it fails and may not.
        """
        try:
            return work()
        except DataError as error:
            if self.strict or name == self.reference:
                raise
            self.why[name] = self._without_paths(name, str(error))
            return None

    def warnings(self) -> list[str]:
        """Say which scans were left out, without naming files."""
        return [f"{name}: left out of this case: {why}" for name, why in self.why.items()]

    def as_record(self) -> dict[str, LeftOutRecord]:
        """Describe them, with the checksums by which a batch knows its inputs."""
        return {name: self._entry(name, why) for name, why in self.why.items()}

    def _entry(self, name: str, why: str) -> LeftOutRecord:
        path = _path_of(self.images[name])
        return LeftOutRecord(
            path=None if path is None else str(path),
            sha256=sha256_of_all(path) if path is not None and path.exists() else None,
            why=why,
        )

    def _without_paths(self, name: str, message: str) -> str:
        """Give a message that calls scans by what they show."""
        message = message.removeprefix(f"{_path_of(self.images[name])}: ")
        for other, source in self.images.items():
            message = message.replace(str(_path_of(source)), other).replace(f" ({other})", "")
        return message


def _path_of(source: Source) -> Path | None:
    """Give the file that a scan is read from, where it is one."""
    path = getattr(source, "path", source)
    return Path(path) if isinstance(path, str | os.PathLike) else None
