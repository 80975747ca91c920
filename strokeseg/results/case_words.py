"""What the files of a case say of it: how its inputs are called, its title, its prefix."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from strokeseg.images.reading import Volume
from strokeseg.results.anonymous import usual_prefix
from strokeseg.results.output_names import UNNAMED_PREFIX
from strokeseg.results.record import Record


@dataclass(frozen=True)
class CaseWords:
    """How sidecars name a case's inputs, the picture's title, the prefix.

    Sidecars name files without their folders: they go where their images go.
    """

    inputs: Mapping[str, str]
    title: str
    prefix: str
    framed: bool = False

    @classmethod
    def of(cls, record: Record, reference: Volume, given: Mapping[str, str]) -> Self:
        """Choose the words for a record; one without names gets none."""
        inputs = record.inputs
        if record.anonymised:
            name = usual_prefix(reference.path, anonymise=True)
            return cls({modality: modality for modality in inputs}, name, name)
        called = {
            modality: given.get(modality) or (Path(i.path).name if i.path else "array")
            for modality, i in inputs.items()
        }
        return cls(called, file_name(reference), usual_prefix(reference.path, anonymise=False))


def file_name(reference: Volume) -> str:
    """Give the name of the scan's file; that of results without one, where it has none."""
    return reference.path.name if reference.path else UNNAMED_PREFIX
