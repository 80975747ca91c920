"""Scans of a case that do not lie on each other are brought together.

A network has seen every scan on its own grid, so what is moved is where its logits lie: one more
affine on the way to the reference's grid, and no voxel is interpolated a second time. The move is
found by mutual information (`strokeseg.space.registration`); the brains that the network sees are
one of its starts, say what of the reference counts, and whether it came out better.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from strokeseg.arrays import AffineArray
from strokeseg.prediction.alignment import (
    Alignment,
    alignment_warnings,
    brain_of,
    compare_brains,
)
from strokeseg.prediction.ensemble import Member
from strokeseg.prediction.options import Options
from strokeseg.space.fit import Fit
from strokeseg.space.grid import Grid
from strokeseg.space.pictures import Picture
from strokeseg.space.registration import register
from strokeseg.space.resample import resample_labels

# Below the voxels that a registration looks at: a scan that is less far off lies well.
LEAST_MM = 2.0
# A move that gains less of the metric may be chance: of six real pairs as they lay the best move
# gained 0 to 6 %, of the same displaced by 2 mm at least 6 %, by 3 mm and 1 degree 19 %.
LEAST_GAIN = 0.05
# What two brains seen by a network differ in anyway.
_WORSE = 0.02
_BRAIN_MM = 90.0


@dataclass(frozen=True)
class Registration:
    """What was done with one scan.

    Parameters
    ----------
    moved_mm : float
        How far a brain's surface was moved, in the mean.
    fit : Fit
        The transform, and its metric before and after.
    overlap_before, overlap_after : float or None
        Dice of the two brains; None where the network sees none.
    """

    moved_mm: float
    fit: Fit
    overlap_before: float | None
    overlap_after: float | None

    @property
    def is_kept(self) -> bool:
        """Whether the scan stays where it was moved to: not where it gained little, or lost."""
        before, after = self.overlap_before, self.overlap_after
        lies_better = before is None or (after is not None and after >= before - _WORSE)
        return self.fit.gain >= LEAST_GAIN and lies_better

    def as_record(self) -> dict[str, Any]:
        """Give it as plain values; the matrix brings the scan's mm to the reference's."""
        rounded = {
            name: None if value is None else round(value, 3)
            for name, value in (
                ("moved_mm", self.moved_mm),
                ("overlap_before", self.overlap_before),
                ("overlap_after", self.overlap_after),
            )
        }
        return {
            **self.fit.as_record(),
            **rounded,
            "kept": self.is_kept,
        }


@dataclass(frozen=True)
class Standing:
    """How the scans of a case lie to the reference, and what was done to those that were moved.

    A scan that stays where it was moved to is not in `alignment`.
    """

    alignment: Mapping[str, Alignment]
    moved: Mapping[str, Registration]

    def warnings(self, reference: str) -> list[str]:
        """Say what was moved, and what does not lie on the reference."""
        return [
            *registration_warnings(self.moved, reference),
            *alignment_warnings(self.alignment, reference),
        ]

    def transforms(self) -> dict[str, AffineArray]:
        """Give the transforms of the scans that stay moved, the reference's mm to the scan's."""
        return {name: one.fit.to_moving for name, one in self.moved.items() if one.is_kept}


def bring_together(
    members: list[Member],
    reference: str,
    class_names: Sequence[str],
    options: Options,
    pictures: Mapping[str, Picture],
) -> Standing:
    """Compare the scans of a case; move those that are off, where `options` want that.

    Parameters
    ----------
    members : list of Member
        One for each scan and model; those that are moved are replaced.
    reference : str
        The scan that stays.
    class_names : sequence of str
        The network's.
    options : Options
        Whether to move scans that are far off, or all.
    pictures : mapping
        The scans, where they may be moved.
    """
    alignment = compare_brains(members, reference, class_names)
    if not options.registers:
        return Standing(alignment, {})
    wanted = [
        name
        for name in pictures
        if name != reference
        and (options.register_always or (name in alignment and alignment[name].is_far))
    ]
    moved = register_members(members, alignment, pictures, reference, class_names, wanted)
    kept = {name for name, one in moved.items() if one.is_kept}
    return Standing({n: one for n, one in alignment.items() if n not in kept}, moved)


def register_members(
    members: list[Member],
    alignment: Mapping[str, Alignment],
    pictures: Mapping[str, Picture],
    reference: str,
    class_names: Sequence[str],
    wanted: Sequence[str],
) -> dict[str, Registration]:
    """Move the members of some scans onto the reference; scans that lie well are left alone.

    Parameters
    ----------
    members : list of Member
        One for each scan and model; those that are moved are replaced.
    alignment : mapping
        How each scan's brain lies to the reference's.
    pictures : mapping
        The scans.
    reference : str
        The scan that stays.
    class_names : sequence of str
        The network's.
    wanted : sequence of str
        The scans to move.
    """
    if not wanted:
        return {}
    mine = [member for member in members if member.modality == reference]
    first = next((member for member in mine if member.tells_classes), mine[0])
    fixed = _around_brain(pictures[reference], first, class_names)
    done = {}
    for name in wanted:
        before = alignment.get(name)
        starts = [] if before is None else [before.to_scan]
        fit = register(fixed, pictures[name], starts, turned=not starts)
        far_mm = moved_mm(fit.to_moving, fixed.centre_mm)
        if far_mm < LEAST_MM:
            continue
        moved = {
            number: _moved(member, fit.to_moving)
            for number, member in enumerate(members)
            if member.modality == name
        }
        telling = [member for member in moved.values() if member.tells_classes]
        after = compare_brains([first, *telling[:1]], reference, class_names)
        overlaps = [None if one is None else one.overlap for one in (before, after.get(name))]
        done[name] = Registration(far_mm, fit, *overlaps)
        if done[name].is_kept:
            for number, member in moved.items():
                members[number] = member
    return done


def moved_mm(to_moving: AffineArray, centre_mm: AffineArray) -> float:
    """Give how far a transform moves the surface of a brain, in the mean."""
    ends = np.concatenate([np.eye(3), -np.eye(3)]) * _BRAIN_MM + centre_mm
    there = ends @ to_moving[:3, :3].T + to_moving[:3, 3]
    return float(np.linalg.norm(there - ends, axis=1).mean())


def registration_warnings(done: Mapping[str, Registration], reference: str) -> list[str]:
    """Say which scans were moved, and which were not as it made them worse."""
    lines = []
    for name, one in done.items():
        little = 0 <= one.fit.gain < LEAST_GAIN
        kept = "it hardly lies better elsewhere on" if little else "no move brought it to"
        what = "was moved onto" if one.is_kept else f"was left where it is, as {kept}"
        overlap = ""
        if one.overlap_before is not None and one.overlap_after is not None:
            overlap = f"; overlap {one.overlap_before:.2f} before, {one.overlap_after:.2f} after"
        lines.append(f"{name} {what} {reference} (by {one.moved_mm:.0f} mm{overlap})")
    return lines


def _around_brain(picture: Picture, member: Member, class_names: Sequence[str]) -> Picture:
    """Let the brain alone count, where the network sees one."""
    brain = brain_of(member, class_names)
    if brain is None:
        return picture
    seen = resample_labels(brain.view(np.uint8), member.working, picture.grid) > 0
    return replace(picture, counts=seen & picture.reach)


def _moved(member: Member, to_scan: AffineArray) -> Member:
    back = np.linalg.inv(to_scan)
    working, native = (
        Grid(grid.shape, back @ grid.affine) for grid in (member.working, member.native)
    )
    return replace(member, working=working, native=native)
