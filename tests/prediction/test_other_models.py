"""Models that other people made: their sequences, their brains, and ensembles with ours."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from strokeseg import Options, load_model, predict
from strokeseg.engines.scan import lesion_maps
from strokeseg.errors import UsageError
from strokeseg.images.reading import read_scan
from strokeseg.models.fusion import Fusion
from strokeseg.models.loading import Hardware, ensemble_of
from strokeseg.prediction.brain_extraction import extract_brain
from strokeseg.prediction.ensemble import fused_logits, shares_of
from strokeseg.prediction.sequences import choose_scans
from tests.factories import Kind, affine_of, scan_file
from tests.mesh_models import mesh_folder
from tests.prediction.test_ensemble import GRID, constant, member
from tests.tiny_models import OWN, tiny_files, write_files

SHAPE = (40, 48, 36)
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])


def phantom(kind="t2"):
    """A head of 40 with a brain of 60 in it, and a lesion of 100; air around."""
    i, j, k = np.indices(SHAPE).astype(np.float32)
    r = np.sqrt((i - 20) ** 2 + (j - 24) ** 2 + (k - 18) ** 2)
    data = np.where(r < 17, 40, 0).astype(np.float32)
    data[r < 15] = 60
    data[24:28, 24:28, 16:20] = 100
    if kind != "t2":
        data[4:6, 24, 18] = 100
    return data, AFFINE


@pytest.fixture
def lesions(tmp_path):
    return load_model(
        str(mesh_folder(tmp_path / "lesions", 0.8, voxel_size_mm=3.0, sequences=["t2"]))
    )


@pytest.fixture
def brains(tmp_path):
    own = {"finds": "brain", "least_size": 48, "voxel_size_mm": 3.0}
    return load_model(str(mesh_folder(tmp_path / "brains", 0.5, **own)))


@pytest.fixture
def tissues(tmp_path):
    own = OWN | {"threshold": None, "min_volume_ml": 0.0, "brain_mask": False, "window": 32}
    return load_model(str(write_files(tmp_path / "tissues", tiny_files(own, seed=3))))


def test_a_meshnet_sees_a_whole_head_in_one_window_and_no_flips(lesions):
    result = predict({"t2": phantom()}, model=lesions)
    assert np.count_nonzero(result.mask) == 64
    assert result.record["flips"] == 1
    assert result.record["models"][0]["window"] == 48
    assert result.warnings == ()


def test_a_model_for_t2w_that_is_given_a_t1w_warns(lesions):
    (warning,) = predict({"t1": phantom()}, model=lesions).warnings
    assert warning.startswith("lesions is meant for t2 and was given t1")


def test_a_model_sees_its_own_sequences_alone(lesions):
    bright = np.random.default_rng(0).random(SHAPE, np.float32)
    result = predict({"t1": (bright, AFFINE), "t2": phantom()}, model=lesions)
    assert np.count_nonzero(result.mask) == 64
    assert [sight["modality"] for sight in result.record["fields_of_view"]] == ["t2"]
    assert result.record["reference"] == "t1"


def test_in_an_ensemble_a_model_without_its_sequence_is_left_out(lesions, tissues):
    alone = predict({"t1": phantom()}, model=tissues)
    both = predict({"t1": phantom()}, model=[tissues, lesions])
    assert np.array_equal(alone.probability, both.probability)
    assert both.warnings[0] == ("lesions is meant for t2, which was not given, and was left out")
    assert [share["model"] for share in both.record["shares"]] == ["tissues"]


def test_models_of_different_classes_average_the_lesion_and_keep_the_tissues(lesions, tissues):
    scan = {"t2": phantom()}
    options = Options(tta=False)
    ours, theirs, both = (
        predict(scan, model=model, options=options)
        for model in (tissues, lesions, [lesions, tissues])
    )
    odds = [np.log(r.probability / (1 - r.probability)).astype(np.float64) for r in (ours, theirs)]
    sure = np.abs(odds[1]) < 10
    expected = 1 / (1 + np.exp(-(odds[0] + odds[1]) / 2))
    np.testing.assert_allclose(both.probability[sure], expected[sure], atol=1e-4)
    assert both.class_names == ours.class_names
    plain = ~ours.mask & ~both.mask
    assert np.array_equal(both.tissue[plain], ours.tissue[plain])
    assert [(s["model"], s["share"], s["tells"]) for s in both.record["shares"]] == [
        ("lesions", 0.5, "lesion"),
        ("tissues", 0.5, "classes"),
    ]


def test_flips_of_one_model_meet_the_single_pass_of_another(lesions, tissues):
    result = predict({"t2": phantom()}, model=[tissues, lesions])
    assert result.record["flips"] == 8


def test_a_mixed_ensembles_log_odds_are_the_mean_and_tissues_keep_their_order():
    ours = member(constant(0.0, 3.0, 1.0, 2.0))
    theirs = replace(member(constant(0.0, -6.0)), tells_classes=False, model=1)
    fused = fused_logits([ours, theirs], GRID, slice(0, GRID.shape[0]))
    own = lesion_maps(ours.logits.mean)[0]
    np.testing.assert_allclose(lesion_maps(fused)[0], (own - 6.0) / 2, atol=1e-5)
    np.testing.assert_allclose(fused[:3], ours.logits.mean[:3], atol=1e-6)


def test_shares_follow_weights_and_rules():
    members = [
        replace(member(constant(0.0, 1.0)), modality=name, model=model)
        for name, model in (("t1", 0), ("t2", 0), ("t2", 1))
    ]
    plain = shares_of(members, Fusion(weights={"t1": 2.0}), ["a", "b"])
    assert [one["share"] for one in plain] == [0.5, 0.25, 0.25]
    assert [one["model"] for one in plain] == ["a", "a", "b"]
    ruled = shares_of(members, Fusion(rule="noisy_or"), ["a", "b"])
    assert [one["share"] for one in ruled] == [0.5, 0.25, 0.25]
    unheard = shares_of(members, Fusion(weights={"t1": 0.0, "t2": 0.0}), ["a", "b"])
    assert sum(one["share"] for one in unheard) == pytest.approx(1.0, abs=1e-5)


# --- brains ---


def test_a_brain_is_found_on_the_scans_own_grid_in_every_orientation(brains):
    for axcodes in ("RAS", "LIA", "PSR"):
        axis = [next(n for n, p in enumerate(("RL", "AP", "SI")) if c in p) for c in axcodes]
        plain = affine_of(Kind("RAS", (3.0, 3.0, 3.0), shape=SHAPE))
        image = nib.Nifti1Image(phantom()[0], plain)
        moved = image.as_reoriented(
            nib.orientations.ornt_transform(
                nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(axcodes)
            )
        )
        found = extract_brain(read_scan(moved), brains)
        assert found.mask.shape == tuple(SHAPE[a] for a in axis)
        expected = np.asarray(moved.dataobj) >= 60
        assert np.array_equal(found.mask, expected)
        assert found.volume_ml == pytest.approx(expected.sum() * 27 / 1000, rel=1e-3)


def test_a_brain_is_one_piece_without_holes(brains):
    data, affine = phantom()
    data[20, 24, 18] = 0
    data[1:3, 1:3, 1:3] = 100
    found = extract_brain(read_scan((data, affine)), brains)
    assert found.mask[20, 24, 18]
    assert not found.mask[1, 1, 1]


def test_a_lesion_beyond_the_brain_of_a_brain_model_is_left_out(lesions, brains):
    data, affine = phantom()
    data[4, 22:26, 16:20] = 100
    scan = {"t2": (data, affine)}
    alone = predict(scan, model=lesions)
    assert len(alone.lesions) == 2
    assert alone.brain_volume_ml is None
    result = predict(scan, model=[lesions, brains])
    assert len(result.lesions) == 1
    assert result.brain_volume_ml == pytest.approx(377, abs=20)
    assert result.record["rule"]["needs_brain"] is True
    assert [m["finds"] for m in result.record["models"]] == ["lesion", "brain"]
    kept = predict(scan, model=[lesions, brains], options=Options(brain_mask=False))
    assert len(kept.lesions) == 2


def test_the_brain_of_a_brain_model_takes_the_place_of_the_tissues(tissues, brains):
    own = predict({"t2": phantom()}, model=tissues)
    result = predict({"t2": phantom()}, model=[tissues, brains])
    assert result.brain_volume_ml == pytest.approx(377, abs=20)
    assert own.brain_volume_ml != pytest.approx(377, abs=20)


def test_a_model_of_brains_alone_finds_no_lesions(brains, lesions):
    with pytest.raises(UsageError, match="finds the brain, not lesions: give it to --brain-model"):
        predict({"t2": phantom()}, model=brains)
    with pytest.raises(UsageError, match="both find the brain"):
        ensemble_of([lesions, brains, brains])


# --- memory ---


def test_less_memory_makes_windows_that_change_nothing(tmp_path):
    data = np.zeros((200, 48, 48), np.float32)
    data[20:190, 10:40, 10:40] = 60
    data[60:66, 20:26, 20:26] = 100
    folder = mesh_folder(tmp_path / "far", 0.8)
    config = json.loads((folder / "config.json").read_text())
    config["strokeseg"]["voxel_size_mm"] = 1.0
    (folder / "config.json").write_text(json.dumps(config))
    scan = {"t2": (data, np.eye(4))}
    whole = predict(scan, model=load_model(str(folder)))
    assert whole.record["models"][0]["window"] == 200
    peak = whole.record["peak_memory_bytes"]
    tight = Hardware(max_memory_bytes=peak + (300 << 20))
    limited = predict(scan, model=str(folder), hardware=tight)
    assert np.array_equal(limited.mask, whole.mask)
    assert not any("--max-memory" in line for line in limited.warnings)
    small = predict(scan, model=load_model(str(folder)), options=Options(window=40))
    assert small.record["models"][0]["window"] == 40
    np.testing.assert_allclose(small.probability, whole.probability, atol=1e-5)


def test_scans_are_chosen_by_sequence(lesions, tissues):
    assert choose_scans([lesions, tissues], ["t1", "t2"]).scans == (("t2",), ("t1", "t2"))
    assert choose_scans([lesions], ["t1"]).scans == (("t1",),)
    assert choose_scans([lesions, tissues], ["t1"]).scans == ((), ("t1",))


def test_a_scan_file_of_another_name_counts_as_no_sequence_of_the_model(lesions, tmp_path):
    result = predict({"swi": scan_file(tmp_path)}, model=lesions)
    assert any("was given swi" in line for line in result.warnings)
