"""Scans of a case that do not lie on each other are brought together, by the brain seen in each.

A network has seen every scan on its own grid, so what is moved is where its logits lie: one more
affine on the way to the reference's grid, and no voxel is interpolated a second time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from strokeseg.prediction.alignment import Alignment, alignment_warnings, compare_brains
from strokeseg.prediction.ensemble import Member
from strokeseg.prediction.options import Options
from strokeseg.space.grid import Grid

# What moves a scan by less is no move.
_LEAST_MM, _LEAST_DEGREES = 0.5, 0.5


@dataclass(frozen=True)
class Registration:
    """What was done with one scan.

    Parameters
    ----------
    before : Alignment
        How its brain lay to the reference's.
    overlap_after : float
        Dice of the two brains once it was moved.
    """

    before: Alignment
    overlap_after: float

    @property
    def is_kept(self) -> bool:
        """Whether the scan stays where it was moved to: not where that made it worse."""
        return self.overlap_after >= self.before.overlap

    def as_record(self) -> dict[str, Any]:
        """Give it as plain values; the matrix brings the scan's mm to the reference's."""
        matrix = np.linalg.inv(self.before.to_scan)
        return {
            "matrix": [[round(float(value), 6) for value in row] for row in matrix],
            "overlap_before": round(self.before.overlap, 3),
            "overlap_after": round(self.overlap_after, 3),
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


def bring_together(
    members: list[Member], reference: str, class_names: Sequence[str], options: Options
) -> Standing:
    """Compare the scans of a case; move those that are off, where `options` want that."""
    alignment = compare_brains(members, reference, class_names)
    if not (options.register or options.register_always):
        return Standing(alignment, {})
    moved = register(members, alignment, reference, class_names, always=options.register_always)
    kept = {name for name, one in moved.items() if one.is_kept}
    return Standing({n: one for n, one in alignment.items() if n not in kept}, moved)


def register(
    members: list[Member],
    alignment: Mapping[str, Alignment],
    reference: str,
    class_names: Sequence[str],
    *,
    always: bool,
) -> dict[str, Registration]:
    """Move the members of the scans that do not lie on the reference.

    Parameters
    ----------
    members : list of Member
        One for each scan and model; those that are moved are replaced.
    alignment : mapping
        How each scan's brain lies to the reference's.
    reference : str
        The scan that stays.
    class_names : sequence of str
        The network's.
    always : bool
        Whether to move scans that are hardly off, too.
    """
    done = {}
    for name, found in alignment.items():
        is_off = found.apart_mm >= _LEAST_MM or found.turned_degrees >= _LEAST_DEGREES
        if not (found.is_far or (always and is_off)):
            continue
        moved = {
            number: _moved(member, found)
            for number, member in enumerate(members)
            if member.modality == name
        }
        telling = [member for member in members if member.tells_classes]
        fixed = next(member for member in telling if member.modality == reference)
        pair = [fixed, next(member for member in moved.values() if member.tells_classes)]
        after = compare_brains(pair, reference, class_names).get(name)
        done[name] = Registration(found, after.overlap if after is not None else 0.0)
        if done[name].is_kept:
            for number, member in moved.items():
                members[number] = member
    return done


def registration_warnings(done: Mapping[str, Registration], reference: str) -> list[str]:
    """Say which scans were moved, and which were not as it made them worse."""
    lines = []
    for name, one in done.items():
        far = f"{one.before.apart_mm:.0f} mm and {one.before.turned_degrees:.0f} degrees"
        overlaps = f"overlap {one.before.overlap:.2f} before, {one.overlap_after:.2f} after"
        what = "was moved onto" if one.is_kept else "was left where it is, as no move brought it to"
        lines.append(f"{name} {what} {reference} ({far}; {overlaps})")
    return lines


def _moved(member: Member, found: Alignment) -> Member:
    back = np.linalg.inv(found.to_scan)
    working, native = (
        Grid(grid.shape, back @ grid.affine) for grid in (member.working, member.native)
    )
    return replace(member, working=working, native=native)
