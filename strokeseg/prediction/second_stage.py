"""The second stage of a model: where the first says lesion, however faintly, it looks again.

The first sees all of a scan in large voxels; the second sees windows in small ones, on the scan and
on what the first said there (after H-SynEx, Rodrigues et al., arXiv 2401.17104).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from strokeseg.arrays import BoolArray, FloatArray
from strokeseg.engines.base import FlipLesion, ScanLogits
from strokeseg.engines.crops import Crops, plan_crops
from strokeseg.engines.flips import FLIPS
from strokeseg.engines.scan import lesion_maps, scan_logits
from strokeseg.images.intensity import normalise
from strokeseg.measure.brain_box import grid_of
from strokeseg.measure.components import Box
from strokeseg.models.loading import LoadedModel
from strokeseg.models.second_stage import SecondStage
from strokeseg.prediction.ensemble import Member
from strokeseg.prediction.second_channels import corrected, head_frame, stage_images
from strokeseg.prediction.second_look import SecondLook
from strokeseg.space.grid import Grid
from strokeseg.space.resample import coverage, resample_image, resample_logits


@dataclass(frozen=True, eq=False)
class Fine:
    """A scan on the grid of a second stage."""

    image: FloatArray
    grid: Grid

    def within(self, kept: Grid) -> "Fine":
        """Cut it to what the first stage saw."""
        box = box_within(kept, self.grid)
        return Fine(np.ascontiguousarray(self.image[box]), grid_of(box, self.grid))


@dataclass(frozen=True)
class Again:
    """Where a second stage looks in a scan: windows, None where there is nothing to look at."""

    crops: Crops | None

    @property
    def windows(self) -> int:
        """How many windows it takes."""
        return 0 if self.crops is None else len(self.crops.plan.starts)

    def as_record(self) -> dict[str, Any]:
        """Give it as plain values."""
        left_out = 0 if self.crops is None else self.crops.left_out
        return {"crops": self.windows, "crops_left_out": left_out}


def plan_again(member: Member, fine: Fine, second: SecondStage) -> Again:
    """Lay windows where the first stage's probability reaches the second's threshold."""
    odds = lesion_maps(member.logits.mean)[0]
    found = odds >= np.float32(math.log(second.threshold / (1 - second.threshold)))
    voxels = np.argwhere(found)
    to_fine = np.linalg.solve(fine.grid.affine, member.working.affine)
    places = np.asarray(voxels @ to_fine[:3, :3].T + to_fine[:3, 3], np.float32)
    sizes = np.reshape(fine.grid.shape, (1, 3))
    inside = ((places > -1) & (places < sizes)).all(axis=1)
    weights = np.asarray(1 / (1 + np.exp(-np.clip(odds[found], -80, 80))), np.float32)
    edges = (second.crop, second.spec.stride_product, second.most_crops)
    return Again(plan_crops(fine.grid.shape, places[inside], weights[inside], *edges))


def look_again(
    member: Member,
    fine: Fine,
    loaded: LoadedModel,
    crops: Crops,
    on_window: Callable[[], None],
    kept_bytes: int,
) -> Member:
    """Run a second stage on its windows, and give the member with what it says.

    Each flip of the first stage is moved by as much as its mean is, so that what single flips would
    give stays comparable with the answer.
    """
    second, engine = loaded.model.config.second, loaded.second
    if second is None or engine is None:
        raise ValueError("the model has no second stage; please report this")
    mean, grid = member.logits.mean, grid_of(crops.box, fine.grid)
    seen = normalise(fine.image, second.normalisation, quantiles=loaded.model.config.quantiles)
    logits = resample_logits(mean, member.working, grid, slice(0, grid.shape[0]))
    frame = head_frame(mean, member.working) if "place" in second.channels else None
    images = stage_images(
        second.channels, np.ascontiguousarray(seen[crops.box]), logits, grid, frame
    )
    del seen
    said = scan_logits(engine, images, crops.plan, FLIPS[:1], on_window, kept_bytes).mean
    if second.corrects:
        said = corrected(said, images, second.channels)
    covered = crops.covered
    odds = np.where(covered, lesion_odds(said), lesion_maps(logits)[0])
    look = SecondLook(np.asarray(odds, np.float32), said[1:], covered, grid, second.parts)
    return replace(member, logits=_moved_flips(member, look), second=look)


def lesion_odds(said: FloatArray) -> FloatArray:
    """Give the log-odds of the lesion, the sum of its parts, from (1 + P, I, J, K) logits."""
    # `lesion_maps` sums all but the last up: so it does for the background in the last place.
    odds = lesion_maps(np.concatenate((said[1:], said[:1])))[0]
    return np.negative(odds)


def _moved_flips(member: Member, look: SecondLook) -> ScanLogits:
    """Move each flip by the second stage's log-odds less the mean's, where it looked."""
    working = member.working
    reach = coverage(look.grid, working, slice(0, working.shape[0]))
    box = tuple(
        slice(int(where.min()), int(where.max()) + 1) if len(where) else slice(0, 0)
        for where in np.nonzero(reach)
    )
    i, j, k = box
    grid = grid_of((i, j, k), working) if reach.any() else None
    if grid is None:
        return member.logits
    seen = resample_image(look.covered.astype(np.float32), look.grid, grid) >= 0.5
    before = lesion_maps(member.logits.mean[:, i, j, k])[0]
    by = np.where(seen, resample_image(look.odds, look.grid, grid) - before, np.float32(0))
    return ScanLogits(
        member.logits.mean, [_moved(flip, (i, j, k), by, seen) for flip in member.logits.per_flip]
    )


def _moved(flip: FlipLesion, box: Box, by: FloatArray, seen: BoolArray) -> FlipLesion:
    odds, is_argmax = flip.log_odds.copy(), flip.is_argmax.copy()
    odds[box] += by
    is_argmax[box] = np.where(seen, odds[box] > 0, is_argmax[box])
    return FlipLesion(odds, is_argmax)


def box_within(inner: Grid, outer: Grid) -> Box:
    """Find the voxels of a grid that another one's field of view holds."""
    to_voxel = np.linalg.inv(outer.affine)
    corners = inner.corners_mm @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    low = np.floor(corners.min(axis=0) + 0.5).astype(int)
    high = np.ceil(corners.max(axis=0) - 0.5).astype(int) + 1
    i, j, k = (
        slice(max(int(a), 0), min(int(b), size))
        for a, b, size in zip(low, high, outer.shape, strict=True)
    )
    return i, j, k
