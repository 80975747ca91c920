"""A model of two stages: the second looks again at what the first found, and only there."""

import json

import nibabel as nib
import numpy as np
import pytest

from strokeseg import Hardware, Options, load_model, predict
from strokeseg.cli import run
from strokeseg.engines.base import FlipLesion, ScanLogits
from strokeseg.engines.scan import lesion_maps
from strokeseg.errors import UsageError
from strokeseg.images.outline import outline_file
from strokeseg.measure.lesions import mask_volume_ml
from strokeseg.models.loading import ensemble_of
from strokeseg.prediction.ensemble import Member, fused_logits
from strokeseg.prediction.memory_forecast import stages
from strokeseg.prediction.memory_plan import _demand, plan_memory, usual_settings
from strokeseg.prediction.second_channels import (
    FURTHEST_ODDS,
    ODDS_SCALE,
    corrected,
    head_frame,
    stage_images,
)
from strokeseg.prediction.second_look import SecondLook, with_second
from strokeseg.prediction.second_stage import Fine, lesion_odds, look_again, plan_again
from strokeseg.space.grid import Grid
from tests.factories import KINDS, scan_file, scan_image
from tests.two_stages import PARTS, second_of, two_stage_model, without_second

PLAIN = Options(tta=False)
ONE = Options(tta=False, stages=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return two_stage_model(tmp_path_factory.mktemp("two") / "model", threshold=0.33, most_crops=6)


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder))


@pytest.fixture(scope="module")
def scan():
    return scan_image(KINDS["ras"], np.float32)


@pytest.fixture(scope="module")
def result(model, scan):
    return predict({"t1": scan}, model=model, options=PLAIN)


def test_one_stage_is_the_first_to_the_byte(folder, model, tmp_path):
    path = scan_file(tmp_path, "lps")
    alone = load_model(str(without_second(folder, tmp_path / "first")))
    kinds = ("mask", "probability", "tissue", "uncertainty", "lesions")
    written = {}
    for name, loaded, options in (
        ("left out", model, Options(stages=1, uncertainty=True)),
        ("alone", alone, Options(uncertainty=True)),
    ):
        found = predict({"t1": path}, model=loaded, options=options)
        files = found.save(tmp_path / name, kinds=kinds)[:-1]
        written[name] = {f.name: f.read_bytes() for f in files if f.suffix != ".json"}
        assert found.parts is None
        assert not {"stages", "part_volumes_ml"} & set(found.record)
    assert written["left out"] == written["alone"]
    assert len(written["alone"]) > len(kinds)


def test_the_second_stage_changes_what_is_found(result, model, scan):
    first = predict({"t1": scan}, model=model, options=ONE)
    assert not np.array_equal(result.probability, first.probability)
    assert result.volume_ml != first.volume_ml


def blob(shape=(24, 24, 24), lesion=(slice(8, 12), slice(8, 12), slice(8, 12))):
    """Logits of a first stage: a lesion in the middle of tissue, and nothing else."""
    logits = np.zeros((6, *shape), np.float32)
    logits[0] = 4
    logits[3, 2:-2, 2:-2, 2:-2] = 6
    logits[-1] = -6
    logits[-1][lesion] = 9
    return logits


def member_of(logits, voxel_mm=2.0):
    odds, is_argmax = lesion_maps(logits)
    grid = Grid(logits.shape[1:], np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0]))
    flips = [FlipLesion(odds + shift, is_argmax) for shift in (0.0, 0.5)]
    return Member(ScanLogits(logits, flips), grid, grid, "t1")


def fine_of(edge=48):
    grid = Grid((edge,) * 3, np.diag([1.0, 1.0, 1.0, 1.0]))
    return Fine(np.random.default_rng(0).random(grid.shape, np.float32), grid)


def test_its_answer_stands_in_its_windows_and_the_first_ones_beyond(model):
    member = member_of(blob())
    fine = fine_of()
    again = plan_again(member, fine, model.model.config.second)
    looked = look_again(member, fine, model, again.crops, lambda: None, 1 << 30)
    target = Grid((48, 48, 48), np.diag([1.0, 1.0, 1.0, 1.0]))
    every = slice(0, 48)
    before, after = (fused_logits([one], target, every) for one in (member, looked))
    where = np.zeros(target.shape, bool)
    where[again.crops.box] = again.crops.covered
    assert 0 < where.mean() < 0.5
    assert np.array_equal(after[:, ~where], before[:, ~where])
    assert np.array_equal(after[:-1], before[:-1])
    said = lesion_maps(after)[0][where]
    expected = looked.second.odds[again.crops.covered]
    assert np.allclose(said, expected, atol=1e-3)
    assert not np.allclose(said, lesion_maps(before)[0][where], atol=0.1)


def test_what_it_says_does_not_depend_on_slabs(model):
    member = member_of(blob())
    fine = fine_of()
    crops = plan_again(member, fine, model.model.config.second).crops
    looked = look_again(member, fine, model, crops, lambda: None, 1 << 30)
    turned = np.diag([-1.3, 0.9, 1.1, 1.0])
    turned[:3, 3] = [47, 2, -1]
    target = Grid((36, 50, 40), turned)
    whole = fused_logits([looked], target, slice(0, 36))
    for low in range(0, 36, 5):
        part = fused_logits([looked], target, slice(low, min(low + 5, 36)))
        assert np.array_equal(part, whole[:, low : low + 5])


def test_flips_move_as_much_as_their_mean(model):
    member = member_of(blob())
    fine = fine_of()
    crops = plan_again(member, fine, model.model.config.second).crops
    looked = look_again(member, fine, model, crops, lambda: None, 1 << 30)
    moves = [
        after.log_odds - before.log_odds
        for after, before in zip(looked.logits.per_flip, member.logits.per_flip, strict=True)
    ]
    assert np.allclose(moves[0], moves[1], atol=1e-5)
    assert 0 < np.count_nonzero(moves[0]) < moves[0].size
    assert np.array_equal(looked.logits.mean, member.logits.mean)


def test_what_the_first_stage_nearly_missed_is_looked_at_and_what_it_denies_is_not():
    second, _ = second_of(threshold=0.1, crop=8)
    faint, none = blob(), blob()
    faint[-1][8:12, 8:12, 8:12] = 6 - 2.0  # p is 0.12
    none[-1][8:12, 8:12, 8:12] = 6 - 3.0  # p is 0.05
    assert plan_again(member_of(faint), fine_of(), second).windows > 0
    again = plan_again(member_of(none), fine_of(), second)
    assert again.crops is None
    assert again.as_record() == {"crops": 0, "crops_left_out": 0}


def test_the_lesion_is_the_sum_of_its_parts():
    logits = np.random.default_rng(1).normal(0, 3, (3, 4, 5, 6)).astype(np.float32)
    shares = np.exp(logits) / np.exp(logits).sum(axis=0)
    assert np.allclose(1 / (1 + np.exp(-lesion_odds(logits))), shares[1:].sum(axis=0), atol=1e-5)


def test_a_stage_that_corrects_and_knows_nothing_leaves_the_first_nearly_as_it_is():
    logits = blob((8, 8, 8), (slice(3, 5),) * 3)
    images = stage_images(("scan", "lesion"), logits[0], logits, Grid((8, 8, 8), np.eye(4)))
    said = corrected(np.zeros((3, 8, 8, 8), np.float32), images, ("scan", "lesion"))
    expected = np.clip(lesion_maps(logits)[0], -FURTHEST_ODDS, FURTHEST_ODDS) + np.log(2)
    assert np.allclose(lesion_odds(said), expected, atol=1e-4)


def test_a_stage_that_corrects_adds_to_the_first(tmp_path, model):
    member, fine = member_of(blob()), fine_of()
    adding = load_model(
        str(two_stage_model(tmp_path / "adds", threshold=0.33, most_crops=6, corrects=True))
    )
    crops = plan_again(member, fine, model.model.config.second).crops
    plain, added = (
        look_again(member, fine, loaded, crops, lambda: None, 1 << 30).second
        for loaded in (model, adding)
    )
    grid = plain.grid
    first = lesion_maps(fused_logits([member], grid, slice(0, grid.shape[0])))[0]
    by = (added.odds - plain.odds)[plain.covered]
    first = np.clip(first, -FURTHEST_ODDS, FURTHEST_ODDS)[plain.covered]
    assert np.allclose(by, first, atol=1e-3)


def test_a_look_beyond_the_target_changes_nothing():
    far = np.diag([1.0, 1.0, 1.0, 1.0])
    far[:3, 3] = 500
    shape = (4, 4, 4)
    look = SecondLook(
        *(np.ones(shape, np.float32), np.ones((2, *shape), np.float32), np.ones(shape, bool)),
        *(Grid(shape, far), PARTS),
    )
    logits = blob((6, 6, 6), (slice(2, 4),) * 3)
    target = Grid((6, 6, 6), np.eye(4))
    assert with_second(logits, look, target, slice(0, 6)) is logits


def test_channels_are_the_scan_and_what_the_first_stage_said():
    logits = blob((8, 9, 10), (slice(3, 5), slice(4, 6), slice(2, 5)))
    grid = Grid(logits.shape[1:], np.diag([8.0, 8.0, 8.0, 1.0]))
    scan = np.random.default_rng(0).random(grid.shape, np.float32)
    images = stage_images(
        ("scan", "lesion", "tissues", "place"), scan, logits, grid, head_frame(logits, grid)
    )
    assert images.shape == (1 + 1 + 4 + 3, *grid.shape)
    assert np.array_equal(images[0], scan)
    shares = np.exp(logits) / np.exp(logits).sum(axis=0)
    for image, number in zip(images[1:6], (5, 1, 2, 3, 4), strict=True):
        odds = np.log(shares[number] / (1 - shares[number]))
        assert np.allclose(
            image * ODDS_SCALE, np.clip(odds, -FURTHEST_ODDS, FURTHEST_ODDS), atol=1e-2
        )
    brain = logits[:-1].argmax(axis=0) > 0
    for axis, image in enumerate(images[6:]):
        assert abs(image[brain].mean()) < 1e-5
        assert image[brain].std() == pytest.approx(0.5, abs=1e-4)
        assert (np.diff(image, axis=axis) > 0).all()


def test_parts_add_up_to_the_lesion(result, tmp_path):
    assert result.parts.names == PARTS
    assert np.array_equal(result.parts.labels > 0, result.mask)
    volumes = result.record["part_volumes_ml"]
    assert tuple(volumes) == PARTS
    assert min(volumes.values()) > 0
    assert sum(volumes.values()) == pytest.approx(result.volume_ml)
    written = result.save(tmp_path, prefix="sub-01", kinds=("mask", "parts"))
    named = {path.name: path for path in written}
    labels = np.asarray(nib.load(named["sub-01_label-L_dseg.nii.gz"]).dataobj)
    assert np.array_equal(labels, result.parts.labels)
    head, *rows = [
        line.split("\t") for line in named["sub-01_label-L_dseg.tsv"].read_text().splitlines()
    ]
    assert head == ["index", "name", "volume_ml"]
    assert [row[1] for row in rows] == ["background", *PARTS]
    told = sum(float(row[2]) for row in rows[1:])
    assert told == pytest.approx(mask_volume_ml(result.mask, result.grid), abs=1e-3)
    assert json.loads(named["sub-01_label-L_dseg.json"].read_text())["Sources"]


def test_the_record_tells_the_stages(result, model, tmp_path):
    record = json.loads(result.save(tmp_path, prefix="x")[-1].read_text())
    (stage,) = record["stages"]
    assert stage["modality"] == "t1"
    assert stage["model"] == 0
    assert 0 < stage["crops"] <= model.model.config.second.most_crops
    assert record["models"][0]["second_sha256"] == model.model.config.second.sha256
    assert record["options"]["stages"] == 2
    assert record["seconds"]["look again at t1"] > 0


def test_several_scans_are_each_looked_at(model, scan, result):
    twice = predict({"t1": scan, "t2": scan}, model=model, options=PLAIN)
    assert [stage["modality"] for stage in twice.record["stages"]] == ["t1", "t2"]
    assert np.allclose(twice.probability, result.probability, atol=1e-5)
    assert np.array_equal(twice.parts.labels, result.parts.labels)


def test_parts_that_no_stage_tells_are_refused(folder, model, scan, tmp_path):
    alone = load_model(str(without_second(folder, tmp_path / "first")))
    for loaded, stages_, why in (
        (model, 1, "its second stage was left out"),
        (alone, 2, "has no second stage"),
    ):
        with pytest.raises(UsageError, match=why):
            predict({"t1": scan}, model=loaded, options=Options(parts=True, stages=stages_))


def test_engines_agree(folder, scan, result):
    other = load_model(str(folder), Hardware(engine="onnxruntime"))
    assert other.second.name == "onnxruntime"
    again = predict({"t1": scan}, model=other, options=PLAIN)
    assert np.allclose(again.probability, result.probability, atol=1e-3)


def test_a_model_loaded_for_one_stage_opens_no_second(folder, scan):
    assert load_model(str(folder), stages=1).second is None
    one = predict({"t1": scan}, model=str(folder), options=ONE)
    assert "stages" not in one.record


def test_memory_is_planned_for_both(model, tmp_path):
    path = scan_file(tmp_path)
    outlines = {"t1": outline_file(path), "t2": outline_file(path)}
    sizes = {}
    for count in (1, 2):
        demand = _demand(outlines, "t1", ensemble_of([model]), Options(stages=count))
        sizes[count] = stages(demand, usual_settings(demand, 1))
    assert all(sizes[2][stage] >= sizes[1][stage] for stage in sizes[1])
    for stage in ("prepare", "segment", "classify", "measure"):
        assert sizes[2][stage] > sizes[1][stage]
    assert plan_memory(outlines, "t1", ensemble_of([model]), Options(), None).limit_bytes is None


@pytest.mark.parametrize("asked", [["--stages", "1"], ["--fast"]])
def test_the_command_line_leaves_the_second_stage_out(folder, tmp_path, capsys, asked):
    path = scan_file(tmp_path)
    shown = ["predict", "--t1", str(path), "--model", str(folder), "-o", str(tmp_path / "out")]
    assert run([*shown, "--save", "mask", "--json", "-q", *asked]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["options"]["stages"] == 1
    assert "stages" not in record


def test_the_command_line_saves_parts_or_says_why_not(folder, tmp_path, capsys):
    path = scan_file(tmp_path)
    shown = ["predict", "--t1", str(path), "--model", str(folder), "-q", "--save", "parts"]
    assert run([*shown, "--no-tta", "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "ras_label-L_dseg.nii.gz").is_file()
    assert run([*shown, "--stages", "1", "-o", str(tmp_path / "none")]) == 2
    assert not (tmp_path / "none").exists()
    assert "tells no parts of a lesion" in capsys.readouterr().err
