import json

import nibabel as nib
import numpy as np
import pytest

from strokeseg import Options, load_model, predict
from strokeseg.errors import CannotCreateError, DataError, UsageError
from strokeseg.measure.lesions import mask_volume_ml
from strokeseg.results.output_names import KINDS as ALL_KINDS
from tests.factories import ALL_AXCODES, KINDS, Kind, hounsfield, scan_file, scan_image
from tests.tiny_models import OWN, tiny_files, write_files


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    own = OWN | {"threshold": 0.3, "min_volume_ml": 0.0, "brain_mask": False, "window": 32}
    folder = write_files(tmp_path_factory.mktemp("model") / "tiny", tiny_files(own, seed=3))
    return load_model(str(folder))


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_the_mask_is_on_the_grid_of_the_input_whatever_its_grid(model, tmp_path):
    for name, kind in KINDS.items():
        path = scan_file(tmp_path, name)
        before = path.read_bytes()
        result = predict({"t1": path}, model=model)
        assert result.mask.shape == kind.shape, name
        assert np.allclose(result.grid.affine, nib.load(path).affine, atol=1e-4), name
        assert path.read_bytes() == before, name


def test_one_head_in_48_orientations_has_one_lesion(model):
    first = None
    for axcodes in ALL_AXCODES:
        axis = [next(n for n, pair in enumerate(("RL", "AP", "SI")) if c in pair) for c in axcodes]
        shape = tuple((40, 48, 36)[a] for a in axis)
        image = scan_image(Kind(axcodes, shape=shape), np.float32)
        result = predict({"t1": image}, model=model, options=Options(tta=False))
        mask = nib.Nifti1Image(result.mask.astype(np.uint8), result.grid.affine)
        canonical = np.asarray(nib.as_closest_canonical(mask).dataobj) > 0
        if first is None:
            first = canonical
            assert 0 < np.count_nonzero(first) < first.size
        assert dice(canonical, first) >= 0.999, axcodes


def test_saved_files_keep_sform_and_qform_codes(model, tmp_path):
    image = scan_image(KINDS["oblique"])
    image.set_sform(image.affine, code=4)
    image.set_qform(image.affine, code=2)
    path = tmp_path / "sub-01_T1w.nii.gz"
    nib.save(image, path)
    result = predict({"t1": path}, model=model, options=Options(uncertainty=True))
    written = result.save(tmp_path / "out", kinds=ALL_KINDS)
    assert [p.name for p in written] == [
        "sub-01_label-L_mask.nii.gz",
        "sub-01_label-L_mask.json",
        "sub-01_label-L_probseg.nii.gz",
        "sub-01_label-L_probseg.json",
        "sub-01_dseg.nii.gz",
        "sub-01_dseg.json",
        "sub-01_dseg.tsv",
        "sub-01_desc-uncertainty_map.nii.gz",
        "sub-01_desc-uncertainty_map.json",
        "sub-01_label-L_lesions.tsv",
        "sub-01_desc-lesions_dseg.nii.gz",
        "sub-01_qc.png",
        "sub-01_strokeseg.json",
    ]
    for name in written:
        if name.name.endswith(".nii.gz"):
            saved = nib.load(name)
            assert saved.get_sform(coded=True)[1] == 4
            assert saved.get_qform(coded=True)[1] == 2
            assert np.allclose(saved.affine, image.affine, atol=1e-4)
    uncertainty = nib.load(written[7]).get_fdata()
    assert uncertainty.shape == (*image.shape, 2)
    assert np.allclose(uncertainty[..., 0], result.entropy)
    assert uncertainty[..., 0].max() <= np.log(6) + 1e-5
    assert uncertainty[..., 1].max() <= 0.5


def test_the_record_says_how_the_result_was_made(model, tmp_path):
    path = scan_file(tmp_path, "lps")
    result = predict({"t1": path}, model=model)
    record = json.loads(result.save(tmp_path / "out")[-1].read_text())
    assert record["inputs"]["t1"]["orientation"] == "LPS"
    assert len(record["inputs"]["t1"]["sha256"]) == 64
    assert record["models"][0]["sha256"] == model.model.sha256
    assert record["models"][0]["engine"] == "openvino"
    assert record["flips"] == 8
    assert record["lesion_volume_ml"] == pytest.approx(result.volume_ml)
    assert record["lesion_volume_ml"] == pytest.approx(mask_volume_ml(result.mask, result.grid))
    assert {"read", "prepare", "segment t1", "classify", "measure"} <= set(record["seconds"])
    total = sum(record["tissue_volumes_ml"].values())
    assert total == pytest.approx(np.prod(result.grid.shape) * result.grid.voxel_volume_ml)


def test_flips_give_a_range_and_one_pass_gives_none(model, tmp_path):
    path = scan_file(tmp_path)
    flipped = predict({"t1": path}, model=model)
    low, high = flipped.volume_range_ml
    assert low < high
    single = predict({"t1": path}, model=model, options=Options(tta=False))
    assert single.record["flips"] == 1
    assert single.volume_range_ml[0] == single.volume_range_ml[1]


def test_modalities_on_other_grids_are_averaged_where_they_reach(model, tmp_path):
    t1, flair = scan_file(tmp_path, "ras"), scan_file(tmp_path, "anisotropic-oblique")
    alone = predict({"t1": t1}, model=model)
    both = predict({"flair": flair, "t1": t1}, model=model)
    assert both.record["reference"] == "t1"
    assert both.mask.shape == alone.mask.shape
    assert not np.array_equal(both.probability, alone.probability)
    on_flair = predict({"flair": flair, "t1": t1}, model=model, options=Options(reference="flair"))
    assert on_flair.mask.shape == KINDS["anisotropic-oblique"].shape


def test_a_scan_given_twice_counts_as_once(model, tmp_path):
    path = scan_file(tmp_path)
    alone = predict({"t1": path}, model=model)
    twice = predict({"t1": path, "t2": path}, model=model)
    assert np.allclose(twice.probability, alone.probability, atol=1e-6)


def test_a_scan_counts_only_where_its_field_of_view_reaches(model):
    whole = scan_image(KINDS["ras"], np.float32)
    data = np.asarray(whole.dataobj)
    lower = nib.Nifti1Image(np.asarray(data[:, :, :24] ** 2), whole.affine)
    alone = predict({"t1": whole}, model=model).probability
    both = predict({"t1": whole, "t2": lower}, model=model).probability
    assert np.allclose(both[:, :, 24:], alone[:, :, 24:], atol=1e-6)
    assert not np.allclose(both[:, :, :24], alone[:, :, :24], atol=1e-3)


@pytest.mark.parametrize("source", [None, "", ["a.nii"], b"a.nii"])
def test_what_is_no_scan_gives_our_error(model, source):
    for images in ({"t1": source}, {"t1": scan_image(KINDS["ras"]), "flair": source}):
        with pytest.raises(UsageError, match="give a path, a nibabel image, or a pair"):
            predict(images, model=model)


def test_scans_that_share_no_space_are_refused(model):
    here = scan_image(KINDS["ras"])
    far = here.affine.copy()
    far[:3, 3] += 500
    elsewhere = nib.Nifti1Image(np.asarray(here.dataobj), far)
    with pytest.raises(DataError, match="share no space"):
        predict({"t1": here, "flair": elsewhere}, model=model)


def test_ct_is_clipped_to_the_brain_window_first(model):
    image = scan_image(KINDS["ras"], np.float32)
    bone = hounsfield(np.asarray(image.dataobj))
    bone[2:6] = 1500.0
    capped = np.clip(bone, 0, 80)
    as_ct = predict({"ct": (bone, image.affine)}, model=model)
    by_hand = predict({"x": (capped, image.affine)}, model=model)
    assert np.array_equal(as_ct.probability, by_hand.probability)


def test_models_are_averaged(model, tmp_path):
    path = scan_file(tmp_path)
    own = OWN | {"window": 32}
    other = load_model(str(write_files(tmp_path / "other", tiny_files(own, seed=5))))
    mean = predict({"t1": path}, model=[model, other]).probability
    assert len(predict({"t1": path}, model=[model, other]).record["models"]) == 2
    assert not np.allclose(mean, predict({"t1": path}, model=model).probability, atol=1e-3)


def test_a_model_without_tissues_has_no_brain_mask(tmp_path):
    two = tiny_files({"window": 32, "voxel_size_mm": 2.0}, out_channels=2)
    binary = load_model(str(write_files(tmp_path / "two", two)))
    result = predict({"t1": scan_file(tmp_path)}, model=binary)
    assert result.brain_volume_ml is None
    assert result.record["rule"]["needs_brain"] is False


def test_an_empty_mask_is_said_and_still_saved(model, tmp_path):
    path = scan_file(tmp_path)
    result = predict({"t1": path}, model=model, options=Options(min_volume_ml=1e5))
    assert result.volume_ml == 0
    assert any("empty" in warning for warning in result.warnings)
    written = result.save(tmp_path / "out")
    table = next(p for p in written if p.name.endswith("lesions.tsv"))
    assert table.read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        ("mask", r"kinds is the text 'mask': give a list, such as \['mask', 'qc'\]"),
        (["masks", "mask", "all"], "kinds has 'all', 'masks': choose from mask, probability, "),
    ],
)
def test_kinds_that_are_none_are_refused_and_not_left_out(model, tmp_path, kinds, told):
    result = predict({"t1": scan_file(tmp_path)}, model=model)
    with pytest.raises(UsageError, match=told):
        result.save(tmp_path / "out", kinds=kinds)
    assert not (tmp_path / "out").exists()


def test_saving_twice_needs_overwrite_and_leaves_no_file_of_the_first_run(model, tmp_path):
    path = scan_file(tmp_path)
    result = predict({"t1": path}, model=model)
    result.save(tmp_path / "out", kinds=("mask", "probability"))
    with pytest.raises(CannotCreateError, match="--overwrite"):
        result.save(tmp_path / "out", kinds=("mask",))
    result.save(tmp_path / "out", kinds=("mask",), overwrite=True)
    assert not list((tmp_path / "out").glob("*probseg*"))


def test_same_scan_twice_gives_the_same_bytes(model, tmp_path):
    path = scan_file(tmp_path)
    for name in ("a", "b"):
        predict({"t1": path}, model=model).save(tmp_path / name, kinds=("mask", "probability"))
    for file in (tmp_path / "a").glob("*.nii.gz"):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        ({}, {}, "no image"),
        ({"t1": "a.nii"}, {"reference": "flair"}, "--reference flair was not given"),
    ],
)
def test_requests_that_make_no_sense_are_usage_errors(model, images, options, message):
    with pytest.raises(UsageError, match=message):
        predict(images, model=model, options=Options(**options))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("window", 8),
        ("overlap", 1.0),
        ("threshold", 0.0),
        ("min_volume_ml", -1.0),
        ("min_peak", 1.0),
    ],
)
def test_options_out_of_range_are_refused(field, value):
    with pytest.raises(UsageError, match=field.split("_")[0]):
        Options(**{field: value})


@pytest.mark.parametrize(
    ("field", "value", "limit"), [("min_volume_ml", 1e9, "1000000"), ("b_value", 30_000, "20000")]
)
def test_what_is_above_a_limit_is_told_that_limit(field, value, limit):
    with pytest.raises(UsageError, match=f" to .*{limit}"):
        Options(**{field: value})
