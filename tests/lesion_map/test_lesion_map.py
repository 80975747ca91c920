"""The lesion map of a cohort: truth known by construction, and who is on it and how."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest

from strokeseg.errors import DataError, InputNotFoundError
from strokeseg.files.checksums import sha256
from strokeseg.lesion_map.common_space import (
    BY_GRID,
    BY_HEADER,
    BY_NAME,
    BY_TISSUE,
    BY_WORD,
    SpaceChoice,
)
from strokeseg.lesion_map.mapping import NAMES, make_map, save_map
from strokeseg.lesion_map.mni_fit import fit_to_mni
from strokeseg.results.archive import find_filed_cases
from strokeseg.space.mni import BRAIN_CENTRE_MM, BRAIN_SPREAD_MM, LONG_AXIS_DEGREES, mni_grid
from tests.factories import rotation

CLASSES = ("background", "GM", "GM/WM", "WM", "CSF", "lesion")
LEFT_MM, RIGHT_MM, RADIUS_MM = (-30.0, -10.0, 20.0), (35.0, -40.0, 10.0), 10.0
# Heads as they lie in a scanner: tilt in degrees, size, shift in mm, axes, voxel size.
HEADS = (
    (0.0, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), "RAS", 3.0),
    (-20.0, (1.06, 0.93, 0.93), (12.0, 30.0, -9.0), "LPS", 2.8),
    (14.0, (0.92, 1.05, 1.05), (-5.0, -40.0, 25.0), "LIA", 2.6),
)


def template_covariance():
    """What grey and white matter have in MNI152: the spread, and a long axis that rises."""
    variances = np.square(BRAIN_SPREAD_MM)
    covariance = np.diag(variances)
    rise = np.tan(2 * np.radians(LONG_AXIS_DEGREES)) * (variances[1] - variances[2]) / 2
    covariance[1, 2] = covariance[2, 1] = rise
    return covariance


def head_to_mni(tilt, size, shift):
    """The affine that puts a head back: level it, then scale it."""
    linear = np.diag(size) @ rotation((tilt, 0.0, 0.0))
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = -linear @ shift
    return affine


def native_affine(to_mni, axcodes, voxel_mm, shape):
    """A field of view in the middle of a head."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1.0
    for column, code in enumerate(axcodes):
        axis = next(n for n, pair in enumerate(("LR", "PA", "IS")) if code in pair)
        affine[axis, column] = voxel_mm * (1 if code in "RAS" else -1)
    middle = np.linalg.solve(to_mni, [*BRAIN_CENTRE_MM, 1.0])[:3]
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def in_mni(to_mni, affine, shape):
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    both = to_mni @ affine
    return index @ both[:3, :3].T + both[:3, 3]


def ball(points_mm, centre_mm, radius_mm=RADIUS_MM):
    return np.linalg.norm(points_mm - np.array(centre_mm), axis=-1) <= radius_mm


def write_case(folder, name, lesions_mm, head=HEADS[0], tissue=True, prefix=None, code=1):
    """Leave mask, tissue map and record of a head, as a batch does; gives what was truly done."""
    tilt, size, shift, axcodes, voxel_mm = head
    to_mni = head_to_mni(tilt, size, shift)
    shape = tuple(int(n / voxel_mm) for n in (200, 230, 210))
    affine = native_affine(to_mni, axcodes, voxel_mm, shape)
    points = in_mni(to_mni, affine, shape)
    off = points - np.array(BRAIN_CENTRE_MM)
    depth = np.einsum("...i,ij,...j->...", off, np.linalg.inv(template_covariance()), off)
    labels = np.select([depth <= 2.0, depth <= 5.0, depth <= 5.6], [3, 1, 4], 0).astype(np.uint8)
    mask = np.zeros(shape, dtype=bool)
    for centre in lesions_mm:
        mask |= ball(points, centre)
    labels[mask] = 5
    prefix = prefix or name
    (folder / name).mkdir(parents=True)
    start = folder / name / prefix
    for ending, data in {"label-L_mask": mask.astype(np.uint8), "dseg": labels}.items():
        image = nib.Nifti1Image(data, affine)
        image.set_sform(affine, code=code)
        if ending != "dseg" or tissue:
            nib.save(image, f"{start}_{ending}.nii.gz")
    if tissue:
        rows = "".join(f"{index}\t{text}\t1.0\n" for index, text in enumerate(CLASSES))
        start.with_name(f"{prefix}_dseg.tsv").write_text(f"index\tname\tvolume_ml\n{rows}")
    record = {"case": name, "reference": "t1", "inputs": {"t1": {"path": None}}}
    start.with_name(f"{prefix}_strokeseg.json").write_text(json.dumps(record))
    return to_mni


def mapped(folder, **wish):
    return make_map(find_filed_cases(folder), SpaceChoice(**{"voxel_size_mm": 2.0, **wish}))


def how(lesion_map):
    return {member.placed.case.name: member.placed.how for member in lesion_map.members}


def at(lesion_map, point_mm):
    i, j, k = np.rint(np.linalg.solve(lesion_map.grid.affine, [*point_mm, 1.0])[:3]).astype(int)
    return int(lesion_map.count[i, j, k])


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize("head", HEADS)
def test_the_affine_of_a_tilted_and_scaled_head_is_found(tmp_path, head):
    truth = write_case(tmp_path, "sub-01", [LEFT_MM], head)
    found, doubts = fit_to_mni(find_filed_cases(tmp_path)[0])
    there = np.array([[*LEFT_MM, 1.0], [*RIGHT_MM, 1.0], [0.0, 50.0, 0.0, 1.0]]).T
    assert np.abs((found @ np.linalg.solve(truth, there) - there)[:3]).max() < 2.0
    assert doubts == ()


def test_lesions_of_different_heads_meet_in_mni(tmp_path):
    lesions = ([LEFT_MM], [LEFT_MM, RIGHT_MM], [LEFT_MM, RIGHT_MM])
    for index, (head, places) in enumerate(zip(HEADS, lesions, strict=True)):
        write_case(tmp_path, f"sub-{index}", places, head)
    lesion_map = mapped(tmp_path, voxel_size_mm=1.0)
    assert lesion_map.space == "MNI152"
    assert lesion_map.grid.shape == (181, 217, 181)
    assert how(lesion_map) == dict.fromkeys(("sub-0", "sub-1", "sub-2"), BY_TISSUE)
    assert (at(lesion_map, LEFT_MM), at(lesion_map, RIGHT_MM)) == (3, 2)
    assert at(lesion_map, (30.0, -10.0, 20.0)) == 0
    points = in_mni(np.eye(4), lesion_map.grid.affine, lesion_map.grid.shape)
    assert dice(lesion_map.count > 0, ball(points, LEFT_MM) | ball(points, RIGHT_MM)) > 0.8
    assert np.allclose(lesion_map.percent.max(), 100.0)
    for member in lesion_map.members:
        assert member.lesion_on_map_ml == pytest.approx(
            4.19 * (1 if member.placed.case.name == "sub-0" else 2), rel=0.15
        )


def test_masks_on_one_grid_are_summed_as_they_are(tmp_path):
    for name, places in {"a": [LEFT_MM], "b": [LEFT_MM], "c": [RIGHT_MM]}.items():
        write_case(tmp_path, name, places, HEADS[1], tissue=False, code=2)
    lesion_map = mapped(tmp_path)
    masks = [nib.load(path) for path in tmp_path.rglob("*_mask.nii.gz")]
    assert np.array_equal(lesion_map.count, sum(np.asarray(m.dataobj).astype(int) for m in masks))
    assert np.allclose(lesion_map.grid.affine, masks[0].affine)
    assert set(how(lesion_map).values()) == {BY_GRID}
    assert lesion_map.doubts == ()
    assert lesion_map.count.max() == 2


def test_one_grid_in_scanner_space_is_doubted_and_can_be_overruled(tmp_path):
    for name in ("a", "b"):
        write_case(tmp_path, name, [LEFT_MM], HEADS[2], code=1)
    doubted = mapped(tmp_path)
    assert len(doubted.doubts) == 1
    assert "use --align if they are not aligned" in doubted.doubts[0]
    aligned = mapped(tmp_path, align=True)
    assert set(how(aligned).values()) == {BY_TISSUE}
    assert at(aligned, LEFT_MM) == 2
    assert mapped(tmp_path, space="MNI152").doubts == ()


def test_a_space_in_the_file_names_is_believed(tmp_path):
    space = "space-MNI152NLin6Asym"
    write_case(tmp_path, "sub-1", [LEFT_MM], tissue=False, prefix=f"sub-1_{space}")
    finer = (*HEADS[0][:3], "LAS", 2.4)
    write_case(tmp_path, "sub-2", [LEFT_MM], finer, tissue=False, prefix=f"sub-2_{space}")
    lesion_map = mapped(tmp_path)
    assert lesion_map.space == "MNI152NLin6Asym"
    assert lesion_map.grid.same_as(mni_grid(2.0))
    assert set(how(lesion_map).values()) == {BY_NAME}
    assert at(lesion_map, LEFT_MM) == 2
    assert at(lesion_map, (30.0, -10.0, 20.0)) == 0


def test_a_template_of_ones_own_keeps_its_grid(tmp_path):
    for name, voxel_mm in {"sub-1": 3.0, "sub-2": 2.5}.items():
        head = (*HEADS[0][:4], voxel_mm)
        write_case(tmp_path, name, [LEFT_MM], head, False, f"{name}_space-study")
    lesion_map = mapped(tmp_path)
    assert lesion_map.space == "study"
    assert lesion_map.grid.voxel_size_mm == pytest.approx((3.0, 3.0, 3.0))
    assert at(lesion_map, LEFT_MM) == 2


def test_a_single_case_and_a_mixed_cohort_go_to_mni(tmp_path):
    write_case(tmp_path, "sub-1", [LEFT_MM], HEADS[1])
    assert set(how(mapped(tmp_path)).values()) == {BY_TISSUE}
    write_case(tmp_path, "sub-2", [LEFT_MM], tissue=False, code=4)
    write_case(tmp_path, "sub-3", [LEFT_MM], HEADS[2], tissue=False)
    lesion_map = mapped(tmp_path)
    assert how(lesion_map) == {"sub-1": BY_TISSUE, "sub-2": BY_HEADER}
    assert at(lesion_map, LEFT_MM) == 2
    assert list(lesion_map.skipped) == ["sub-3"]
    assert lesion_map.skipped["sub-3"] == (
        "in no common space, and sub-3_dseg.nii.gz is not there to align it: run it again with "
        "--save mask,tissue"
    )


def test_what_a_user_says_of_the_space_goes_first(tmp_path):
    write_case(tmp_path, "sub-1", [LEFT_MM])
    write_case(tmp_path, "sub-2", [LEFT_MM], (*HEADS[0][:4], 2.7))
    lesion_map = mapped(tmp_path, space="MNI152NLin2009cAsym")
    assert set(how(lesion_map).values()) == {BY_WORD}
    assert lesion_map.space == "MNI152NLin2009cAsym"
    assert at(lesion_map, LEFT_MM) == 2


def test_cases_that_cannot_be_used_are_left_out_with_a_reason(tmp_path):
    for name in ("good", "gone", "cut", "poor"):
        write_case(tmp_path, name, [LEFT_MM], HEADS[1])
    (tmp_path / "gone" / "gone_label-L_mask.nii.gz").unlink()
    cut = tmp_path / "cut" / "cut_label-L_mask.nii.gz"
    cut.write_bytes(cut.read_bytes()[:-300])
    (tmp_path / "poor" / "poor_dseg.tsv").write_text("index\tname\n0\tbackground\n1\tlesion\n")
    (tmp_path / "bad").mkdir()
    error = {"case": "bad", "message": "a.nii is no image"}
    (tmp_path / "bad" / "bad_error.json").write_text(json.dumps(error))
    lesion_map = mapped(tmp_path, align=True)
    assert list(how(lesion_map)) == ["good"]
    assert sorted(lesion_map.skipped) == ["bad", "cut", "gone", "poor"]
    assert lesion_map.skipped["bad"] == "failed: a.nii is no image"
    assert "run it again with --save mask" in lesion_map.skipped["gone"]
    assert "cut short or damaged" in lesion_map.skipped["cut"]
    assert "use a model that knows tissues" in lesion_map.skipped["poor"]


def test_an_implausible_brain_is_doubted(tmp_path):
    write_case(tmp_path, "sub-1", [LEFT_MM], (0.0, (2.0, 1.0, 1.0), (0.0, 0.0, 0.0), "RAS", 3.0))
    (member,) = mapped(tmp_path).members
    assert "which no head needs: look at its tissue map" in member.doubts[0]


def test_a_lesion_outside_the_map_is_told(tmp_path):
    write_case(tmp_path, "sub-1", [(-80.0, -100.0, -60.0)], code=4)
    path = tmp_path / "sub-1" / "sub-1_label-L_mask.nii.gz"
    image = nib.load(path)
    far = image.affine.copy()
    far[:3, 3] -= 100.0
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), far), path)
    write_case(tmp_path, "sub-2", [LEFT_MM], (*HEADS[0][:4], 2.5))
    lesion_map = mapped(tmp_path, space="MNI152")
    assert lesion_map.members[0].doubts == (
        "its lesion lies outside the map or is too small for it",
    )


def test_several_sessions_of_one_participant_are_told(tmp_path):
    for name in ("sub-1_ses-a", "sub-1_ses-b", "sub-2"):
        write_case(tmp_path, name, [LEFT_MM], tissue=False, code=4)
    assert mapped(tmp_path).doubts == ("more than one session is counted of sub-1",)


def test_nothing_to_map_is_an_error(tmp_path):
    with pytest.raises(InputNotFoundError, match="no such folder"):
        mapped(tmp_path / "none")
    with pytest.raises(DataError, match="holds no case"):
        mapped(tmp_path)
    for name in ("sub-1", "sub-2"):
        write_case(tmp_path, name, [LEFT_MM], HEADS[0 if name == "sub-1" else 1], tissue=False)
    with pytest.raises(DataError, match=r"^sub-1: in no common space.*\(and 1 more\)$"):
        mapped(tmp_path)


def test_the_files_say_how_every_case_came_to_its_place(tmp_path):
    truth = write_case(tmp_path, "sub-1", [LEFT_MM], HEADS[1])
    write_case(tmp_path, "sub-2", [LEFT_MM], HEADS[2], tissue=False)
    written = save_map(mapped(tmp_path), tmp_path / "overlap")
    assert sorted(path.name for path in written) == sorted(NAMES)
    record = json.loads(written[-1].read_text())
    assert (record["space"], record["number_of_cases"], record["greatest_count"]) == (
        "MNI152",
        1,
        1,
    )
    assert record["background"] == "mean of 1 tissue maps"
    (case,) = record["cases"]
    assert case["how"] == BY_TISSUE
    assert np.allclose(np.array(case["affine"])[:3, :3], truth[:3, :3], atol=0.03)
    assert record["skipped"][0]["case"] == "sub-2"
    with (tmp_path / "overlap" / "overlap.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [(row["case"], row["used"], row["how"]) for row in rows] == [
        ("sub-1", "yes", BY_TISSUE),
        ("sub-2", "no", "n/a"),
    ]
    for name, dtype in {"overlap_count": np.int16, "overlap_percent": np.float32}.items():
        image = nib.load(tmp_path / "overlap" / f"{name}.nii.gz")
        assert image.get_data_dtype() == dtype
        assert image.get_sform(coded=True)[1] == 4
        assert image.shape == (91, 109, 91)


def test_the_map_is_no_case_of_the_next_map(tmp_path):
    write_case(tmp_path, "sub-1", [LEFT_MM])
    first = mapped(tmp_path)
    save_map(first, tmp_path / "overlap")
    assert how(mapped(tmp_path)) == how(first)


def test_a_brain_that_is_given_is_drawn_on(tmp_path):
    write_case(tmp_path, "sub-1", [LEFT_MM])
    brain = tmp_path / "brain.nii.gz"
    data = np.zeros((30, 30, 30), dtype=np.float32)
    data[10:20, 10:20, 10:20] = np.linspace(1, 2, 10)
    nib.save(nib.Nifti1Image(data, np.diag([4.0, 4.0, 4.0, 1.0])), brain)
    lesion_map = make_map(
        find_filed_cases(tmp_path), SpaceChoice(voxel_size_mm=2.0), background=brain
    )
    assert lesion_map.backdrop.about == brain.name
    assert lesion_map.backdrop.image.shape == lesion_map.grid.shape
    assert lesion_map.backdrop.image[:40].max() == 0.0  # left of its field of view


def test_without_tissue_maps_the_reference_scans_are_drawn_on(tmp_path):
    for name in ("a", "b"):
        write_case(tmp_path, name, [LEFT_MM], tissue=False, code=2)
        record = {"case": name, "reference": "t1", "inputs": {"t1": {"path": str(tmp_path / "t1")}}}
        (tmp_path / name / f"{name}_strokeseg.json").write_text(json.dumps(record))
    assert mapped(tmp_path).backdrop is None
    mask = nib.load(tmp_path / "a" / "a_label-L_mask.nii.gz")
    scan = np.linspace(0, 100, mask.shape[0])[:, None, None] * np.ones(mask.shape)
    nib.save(nib.Nifti1Image(scan.astype(np.float32), mask.affine), tmp_path / "t1.nii.gz")
    for record in tmp_path.rglob("*_strokeseg.json"):
        content = json.loads(record.read_text())
        path = tmp_path / "t1.nii.gz"
        content["inputs"]["t1"] = {"path": str(path), "sha256": sha256(path)}
        record.write_text(json.dumps(content))
    backdrop = mapped(tmp_path).backdrop
    assert backdrop.about == "mean of 2 reference scans"
    assert np.allclose(backdrop.image[0], 0.0)
    assert np.allclose(backdrop.image[-1], 1.0)
