"""The files of one case that take work: its volumes, its picture and its slice for the table."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from strokeseg._version import __version__
from strokeseg.report.case_volumes import Stack, places_of_others, places_of_scan, read_stack
from strokeseg.report.facts import CaseFacts
from strokeseg.report.folder import ReportFolder
from strokeseg.report.lesion_places import lesion_voxels
from strokeseg.report.thumbnails import smaller, thumbnail
from strokeseg.report.viewer_layers import pack_layers

CASES = "cases"


@dataclass(frozen=True)
class Parts:
    """What was made for a case, besides its page.

    Attributes
    ----------
    layers : list of mapping
        What the viewer shows: name, slope and intercept; empty where there is no viewer.
    jumps : list of (x, y, z) or None
        Where each lesion is, in mm.
    notes : list of str
        What is missing or unusual about the volumes, one line each.
    voxel_size_mm : list of 3 float
        Of the viewer's grid; empty without a viewer.
    coarse : bool
        Whether that grid is coarser than the results'.
    files : list of str
        Names below the report.
    """

    layers: list[dict[str, Any]]
    jumps: list[list[float] | None]
    notes: list[str]
    voxel_size_mm: list[float]
    coarse: bool
    files: list[str]

    @classmethod
    def from_manifest(cls, content: object, slug: str) -> Self | None:
        """Read what an earlier report wrote of the case with this slug; None if it is not that."""
        if not isinstance(content, Mapping) or set(content) != {f.name for f in fields(cls)}:
            return None
        own = {volumes_name(slug), picture_name(slug), thumbnail_name(slug)}
        files = content["files"]
        return cls(**content) if isinstance(files, list) and own.issuperset(files) else None

    def as_manifest(self) -> dict[str, Any]:
        """Give plain values."""
        return asdict(self)


def volumes_name(slug: str) -> str:
    """Name the script with a case's volumes."""
    return f"{CASES}/{slug}_volumes.js"


def picture_name(slug: str) -> str:
    """Name a case's picture."""
    return f"{CASES}/{slug}_picture.jpg"


def thumbnail_name(slug: str) -> str:
    """Name a case's slice for the table."""
    return f"{CASES}/{slug}_slice.jpg"


def make_parts(
    folder: ReportFolder, facts: CaseFacts, output: Path, slug: str, viewer_mb: float
) -> Parts:
    """Write a case's volumes, picture and slice into the report.

    Parameters
    ----------
    folder : ReportFolder
        The new report.
    facts : CaseFacts
        The case.
    output : Path
        The cohort's output folder.
    slug : str
        Start of the names of its files.
    viewer_mb : float
        Largest size of one packed volume, in MB; 0 for no viewer.
    """
    stack, notes = (None, []) if facts.case.record is None else read_stack(facts, output)
    written: dict[str, bytes | None] = {}
    layers, jumps, size, coarse = [], [], [], False
    if stack is not None and viewer_mb > 0:
        voxels = _voxels(stack, facts)
        packed = pack_layers(stack, voxels, viewer_mb)
        written[volumes_name(slug)] = packed.script
        layers, coarse = list(packed.layers), packed.coarse
        size = list(packed.voxel_size_mm)
        jumps = _jumps(stack, facts, voxels)
    picture = _read(facts.case.names.qc)
    written[picture_name(slug)] = None if picture is None else smaller(picture)
    written[thumbnail_name(slug)] = thumbnail(stack, picture)
    for name, content in written.items():
        if content is not None:
            folder.write(name, content)
    files = [name for name, content in written.items() if content is not None]
    return Parts(layers, jumps, notes, size, coarse, files)


def fingerprint(facts: CaseFacts, output: Path, slug: str, viewer_mb: float) -> str:
    """Tell whether a case's parts would come out as before, without reading a volume.

    They do if version, options and record are the same, and so are the sizes and times of the
    files that they are made from.
    """
    names = facts.case.names
    sources = [names.mask, names.probability, names.tissue, names.lesions, names.qc]
    sources += [*places_of_scan(facts, output), names.uncertainty, *places_of_others(facts, output)]
    content = [__version__, slug, viewer_mb, facts.case.content, [_stamp(path) for path in sources]]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _voxels(stack: Stack, facts: CaseFacts) -> list[tuple[int, int, int] | None]:
    if stack.mask is None:
        return [None] * len(facts.lesions)
    return lesion_voxels(stack.mask, stack.grid, facts.lesions)


def _jumps(
    stack: Stack, facts: CaseFacts, voxels: list[tuple[int, int, int] | None]
) -> list[list[float] | None]:
    """Give each lesion's place: its voxel's, or else its centroid."""
    jumps: list[list[float] | None] = []
    for voxel, lesion in zip(voxels, facts.lesions, strict=True):
        if voxel is not None:
            jumps.append((stack.grid.affine @ [*voxel, 1.0])[:3].round(3).tolist())
        else:
            jumps.append(None if lesion.centroid_mm is None else list(lesion.centroid_mm))
    return jumps


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _stamp(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns]
