"""The scans of a case as they are given: DICOM turned into scans, headers read, none misplaced."""

from collections.abc import Mapping, Sequence
from functools import partial

from strokeseg.errors import DataError
from strokeseg.images.arrival import arrived
from strokeseg.images.outline import Outline
from strokeseg.images.reading import Source, outline
from strokeseg.prediction.leaving_out import LeftOut


def arrived_scans(
    images: Mapping[str, Source], order: Sequence[str], left_out: LeftOut, b_value: float
) -> dict[str, Source]:
    """Turn DICOM and diffusion series into scans; what cannot be is left out, or ends it all."""
    found = {}
    for name in order:
        scan = left_out.attempt(name, partial(arrived, name, images[name], b_value=b_value))
        if name not in left_out.why:
            found[name] = images[name] if scan is None else scan
    return found


def outlines_of(images: Mapping[str, Source], left_out: LeftOut) -> dict[str, Outline]:
    """Read the headers of all scans; those that share no space with the reference are refused."""
    name_of = left_out.reference
    reference = outline(images[name_of])

    def checked(name: str) -> Outline:
        scan = reference if name == name_of else outline(images[name])
        if not reference.grid.overlaps(scan.grid):
            raise DataError(
                f"{name} ({scan.path}) and {name_of} ({reference.path}) share no space: they are "
                "not of one session, or one of them has a wrong header; align them first"
            )
        return scan

    found = {}
    for name in images:
        scan = left_out.attempt(name, partial(checked, name))
        if scan is not None:
            found[name] = scan
    return found
