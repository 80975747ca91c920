from dataclasses import replace

import numpy as np
import pytest

from strokeseg.engines.base import ScanLogits
from strokeseg.measure.brain_box import grid_of, widened
from strokeseg.measure.components import bounding_box
from strokeseg.prediction import registration
from strokeseg.prediction.alignment import Alignment, alignment_warnings, compare_brains
from strokeseg.prediction.ensemble import Member
from strokeseg.prediction.field_of_view import MARGIN_MM
from strokeseg.prediction.options import Options
from strokeseg.prediction.registration import (
    LEAST_GAIN,
    LEAST_MM,
    bring_together,
    register_members,
    registration_warnings,
)
from strokeseg.space.fit import Fit
from strokeseg.space.grid import Grid
from strokeseg.space.pictures import picture_of
from tests.factories import rotation

NAMES = ("background", "GM", "GM/WM", "WM", "CSF", "lesion")
STEP = 3.0
SHAPE = (70, 80, 70)


def labels_at(points):
    """A brain of two hemispheres with ventricles, a cerebellum and a rim of CSF, by RAS mm."""
    x, y, z = np.moveaxis(points, -1, 0)
    cerebrum = np.sqrt((x / 68) ** 2 + (y / 85) ** 2 + ((z - 8) / 58) ** 2)
    low = np.sqrt((x / 45) ** 2 + ((y + 45) / 35) ** 2 + ((z + 48) / 25) ** 2)
    inside = np.minimum(cerebrum, low)
    ventricle = ((np.abs(x) - 14) / 8) ** 2 + (y / 35) ** 2 + ((z - 15) / 12) ** 2 < 1
    labels = np.select([inside < 0.75, inside < 0.93, inside < 1.0], [3, 1, 4], 0)
    return np.where(ventricle, 4, labels)


def member(name="t1", shift_mm=(0, 0, 0), degrees=(0, 0, 0), keep=slice(None)):
    """What a network would see of that brain, moved."""
    affine = np.diag([STEP, STEP, STEP, 1.0])
    affine[:3, 3] = -(np.array(SHAPE) - 1) * STEP / 2
    shape = (SHAPE[0], SHAPE[1], len(range(SHAPE[2])[keep]))
    affine[2, 3] += STEP * (keep.start or 0)
    points = np.stack(np.indices(shape), axis=-1) * STEP + affine[:3, 3]
    labels = labels_at((points - np.array(shift_mm)) @ rotation(degrees))
    logits = np.stack([labels == index for index in range(6)]).astype(np.float32)
    grid = Grid(shape, affine)
    return Member(ScanLogits(logits, []), grid, grid, name)


def compared(**how):
    return compare_brains([member("t1"), member("t2", **how)], "t1", NAMES)["t2"]


def test_scans_that_lie_on_each_other_are_not_told():
    found = compared()
    assert found.overlap == pytest.approx(1.0)
    assert found.apart_mm == found.turned_degrees == 0
    assert alignment_warnings({"t2": found}, "t1") == []


@pytest.mark.parametrize("shift_mm", [(30, 0, 0), (0, -28, 10), (0, 0, 26)])
def test_a_shift_is_told_in_mm(shift_mm):
    found = compared(shift_mm=shift_mm)
    assert found.apart_mm == pytest.approx(np.linalg.norm(shift_mm), abs=1.5)
    assert found.turned_degrees < 3
    (told,) = alignment_warnings({"t2": found}, "t1")
    assert told.startswith("t2 and t1 do not lie on each other: the brain in t2 is ")
    assert f"{found.apart_mm:.0f} mm" in told


@pytest.mark.parametrize("degrees", [(24, 0, 0), (0, 24, 0), (0, 0, -24)])
def test_a_turn_is_told_in_degrees(degrees):
    found = compared(degrees=degrees)
    assert found.turned_degrees == pytest.approx(24, abs=2)
    assert found.is_far


def test_a_small_shift_is_recorded_and_not_told():
    found = compared(shift_mm=(4, 3, 0))
    assert found.apart_mm == pytest.approx(5, abs=0.5)
    assert alignment_warnings({"t2": found}, "t1") == []
    assert found.as_record().keys() == {"overlap", "apart_mm", "turned_degrees"}


def test_a_slab_is_compared_where_it_reaches():
    found = compared(keep=slice(30, 50))
    assert found.overlap > 0.95
    assert found.apart_mm < 2


def test_a_brain_that_is_hardly_seen_is_not_compared():
    empty = member("t2")
    empty.logits.mean[:] = 0
    assert compare_brains([member("t1"), empty], "t1", NAMES) == {}


def test_one_scan_or_a_model_without_tissues_has_nothing_to_compare():
    assert compare_brains([member("t1")], "t1", NAMES) == {}
    both = [member("t1"), member("t2")]
    assert compare_brains(both, "t1", ("background", "lesion")) == {}


def pictures_of(members):
    """What scans of two contrasts would show of it."""
    shown = {}
    for one, greys in zip(members, ((0, 60, 80, 100, 25, 0), (0, 90, 70, 60, 10, 0)), strict=False):
        image = np.array(greys, np.float32)[one.logits.mean.argmax(axis=0)]
        shown[one.modality] = picture_of(image, one.working)
    return shown


@pytest.mark.parametrize(
    "how", [{"shift_mm": (30, 10, -8)}, {"degrees": (0, 0, 22), "shift_mm": (8, -5, 4)}]
)
def test_registration_brings_a_scan_onto_the_reference(how):
    of_one_model = [member("t1"), member("t2", **how)]
    members = of_one_model * 2
    before = compare_brains(members, "t1", NAMES)
    pictures = pictures_of(of_one_model)
    standing = bring_together(members, "t1", NAMES, Options(register_always=True), pictures)
    done = standing.moved
    assert done["t2"].is_kept
    assert standing.alignment == {}
    assert done["t2"].overlap_after > max(0.95, before["t2"].overlap)
    assert done["t2"].fit.metric_after < done["t2"].fit.metric_before
    moved = members[1]
    truth = np.eye(4)
    truth[:3, :3] = rotation(how.get("degrees", (0, 0, 0)))
    truth[:3, 3] = how["shift_mm"]
    corners = np.array([(x, y, z, 1) for x in (-70, 70) for y in (-85, 85) for z in (-50, 60)])
    (fitted,) = standing.transforms().values()
    apart = np.linalg.norm(((fitted - truth) @ corners.T)[:3], axis=0)
    assert apart.max() < 2
    np.testing.assert_allclose(
        moved.working.affine, np.linalg.inv(fitted) @ member().working.affine, atol=1e-6
    )
    assert np.allclose(members[3].working.affine, moved.working.affine)
    assert members[0].working.same_as(member().working)
    (told,) = registration_warnings(done, "t1")
    assert told.startswith("t2 was moved onto t1 (")
    assert done["t2"].as_record()["kept"] is True


def test_scans_are_moved_where_they_are_far_off_or_always_and_never_by_less_than_a_voxel():
    members = [member("t1"), member("t2", shift_mm=(6, 0, 0))]
    pictures = pictures_of(members)
    assert bring_together(members, "t1", NAMES, Options(register=True), pictures).moved == {}
    assert members[1].working.same_as(member().working)
    done = bring_together(members, "t1", NAMES, Options(register_always=True), pictures).moved
    assert done["t2"].moved_mm == pytest.approx(6, abs=1)
    assert not members[1].working.same_as(member().working)
    well = [member("t1"), member("t2")]
    always = Options(register_always=True)
    assert bring_together(well, "t1", NAMES, always, pictures_of(well)).moved == {}
    assert well[1].working.same_as(member().working)
    assert LEAST_MM == 2


def test_a_move_that_makes_it_worse_is_undone_and_told():
    members = [member("t1"), member("t2")]
    pictures = pictures_of(members)
    elsewhere = member("t2", shift_mm=(30, 0, 0))
    # The picture lies elsewhere than the brain that the network saw.
    pictures["t2"] = pictures_of([elsewhere])["t2"]
    near = compare_brains(members, "t1", NAMES)
    done = register_members(members, near, pictures, "t1", NAMES, ["t2"])
    assert not done["t2"].is_kept
    assert done["t2"].overlap_after < done["t2"].overlap_before
    assert members[1].working.same_as(member().working)
    assert "was left where it is" in registration_warnings(done, "t1")[0]


@pytest.mark.parametrize(("gain", "kept"), [(0.049, False), (0.051, True)])
def test_a_move_that_hardly_gains_is_not_made_and_that_is_told(monkeypatch, gain, kept):
    shift = np.eye(4)
    shift[0, 3] = 3.0
    fit = Fit(shift, -1 + gain, -1.0)
    monkeypatch.setattr(registration, "register", lambda *_, **__: fit)
    members = [member("t1"), member("t2", shift_mm=(1, 0, 0))]
    pictures = pictures_of(members)
    standing = bring_together(members, "t1", NAMES, Options(register_always=True), pictures)
    assert standing.moved["t2"].is_kept is kept
    assert ("t2" in standing.transforms()) is kept
    assert ("t2" in standing.alignment) is not kept
    (told,) = standing.warnings("t1")
    little = "t2 was left where it is, as it hardly lies better elsewhere on t1 (by 3 mm"
    assert told.startswith("t2 was moved onto t1 (by 3 mm" if kept else little)
    assert fit.gain == pytest.approx(gain)
    assert LEAST_GAIN == 0.05


def test_a_network_without_tissues_moves_scans_by_what_they_show():
    members = [member("t1"), member("t2", shift_mm=(12, 8, 0))]
    pictures = pictures_of(members)
    two = ("background", "lesion")
    done = bring_together(members, "t1", two, Options(register_always=True), pictures).moved
    assert done["t2"].is_kept
    assert done["t2"].as_record()["overlap_before"] is None
    assert done["t2"].moved_mm == pytest.approx(np.hypot(12, 8), abs=1)


def cut_to_its_brain(seen):
    """What a network would see of it with --field-of-view brain."""
    held = bounding_box(seen.logits.mean.argmax(axis=0) > 0)
    box = widened(held, MARGIN_MM, seen.working)
    logits = ScanLogits(np.ascontiguousarray(seen.logits.mean[:, *box]), [])
    return replace(seen, logits=logits, working=grid_of(box, seen.working), is_cut=True)


@pytest.mark.parametrize("how", [{}, {"shift_mm": (30, 10, -8)}, {"degrees": (0, 0, 22)}])
def test_scans_cut_to_their_brains_are_compared_and_moved_as_whole_ones(how):
    whole = [member("t1"), member("t2", **how)]
    cut = [cut_to_its_brain(one) for one in whole]
    assert cut[1].working.shape < whole[1].working.shape
    plain, found = (compare_brains(members, "t1", NAMES)["t2"] for members in (whole, cut))
    assert found.overlap == pytest.approx(plain.overlap, abs=0.01)
    np.testing.assert_allclose(found.to_scan, plain.to_scan, atol=0.5)
    as_it_lay = cut[1].seen
    pictures = pictures_of(whole)
    done = register_members(cut, {"t2": found}, pictures, "t1", NAMES, ["t2"])
    if how:
        assert done["t2"].overlap_after > 0.95
        moved = np.linalg.inv(done["t2"].fit.to_moving) @ as_it_lay.affine
        np.testing.assert_allclose(cut[1].seen.affine, moved, atol=1e-6)


def test_far_is_25_mm_or_20_degrees():
    assert Alignment(0.9, 25.0, 0.0).is_far
    assert Alignment(0.9, 0.0, 20.0).is_far
    assert not Alignment(0.1, 24.9, 19.9).is_far
