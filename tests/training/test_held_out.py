"""Models side by side on held-out crops: the crops, the scores, the tables and the pictures."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from strokeseg.errors import UsageError
from strokeseg.models.fusion import Fusion
from strokeseg.results.picture import OUTLINE, TRUTH
from strokeseg.training import held_out
from strokeseg.training.config import read_config
from strokeseg.training.data.sources import load_sources
from strokeseg.training.held_out import Score, compare, grey_distance, scores_of, shown_table, table
from strokeseg.training.held_out_gallery import Tile, draw_worst, tile_picture
from strokeseg.training.validation.held_out_crops import (
    DRAWN,
    FREE,
    FREE_SLICES,
    HEADS,
    PASTED,
    SLICES,
    Counts,
    HeldOutCrop,
    centred,
    held_out_crops,
)
from tests.tiny_models import OWN, tiny_files, write_files
from tests.training.heads import config_text
from tests.training.real_images import write_scans, write_slices

FEW = Counts(slices=2, drawn=8, heads=1, pasted=1)


@pytest.fixture(scope="module")
def config_file(data_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    scans, slices = write_scans(folder), write_slices(folder / "slices.npz")
    data = (
        f'scans = "{scans}"\nheld_out_scans = ["old-*"]\nscan_share = 0.1\n'
        f'slices = "{slices}"\nheld_out_slices = ["12", "23"]\nslice_share = 0.1\n'
    )
    path = folder / "run.toml"
    path.write_text(config_text(data_folder, data=data))
    return path


@pytest.fixture(scope="module")
def crops(config_file):
    config = read_config(config_file)
    sources = load_sources(config.data, held_out=True)
    return [list(held_out_crops(sources, config, FEW)) for _ in range(2)]


def fake(bright=None, **own):
    """A model that says lesion, by log-odds of 4 and -6, where an image is brighter than that."""
    settings = {"threshold": 0.5, "lesion_offsets": {}, "fusion": Fusion(), "voxel_size_mm": 4.0}

    def logits(image):
        odds = np.where(image > bright, 4, -6).astype(np.float32)
        return np.stack([np.zeros_like(odds), odds])

    config = SimpleNamespace(**(settings | own))
    return SimpleNamespace(
        engine=SimpleNamespace(logits=logits), model=SimpleNamespace(config=config)
    )


def cube(where, side=6, size=24):
    mask = np.zeros((size,) * 3, np.bool_)
    mask[tuple(slice(start, start + side) for start in where)] = True
    return mask


def test_every_kind_is_there_and_the_same_again(crops):
    first, again = crops
    assert {crop.kind for crop in first} >= {SLICES, FREE_SLICES, FREE, PASTED, DRAWN, HEADS}
    for one, other in zip(first, again, strict=True):
        assert (one.kind, one.name) == (other.kind, other.name)
        np.testing.assert_array_equal(one.truth, other.truth)
        for name, image in one.images.items():
            np.testing.assert_array_equal(image, other.images[name])
            assert image.shape == one.truth.shape
    assert {crop.sequences for crop in first if crop.kind == HEADS} == {"t1+flair+dwi"}
    for crop in first:
        assert crop.truth.any() == (crop.kind in (SLICES, PASTED, DRAWN, HEADS)), crop.name


def test_a_slice_lies_in_the_plane_that_it_shows_with_its_lesion_on_it(crops):
    slices = [crop for crop in crops[0] if crop.kind == SLICES]
    assert {crop.axis for crop in slices} == {0, 1, 2}
    for crop in slices:
        (image,) = crop.images.values()
        assert (np.diff(image, axis=crop.axis) == 0).all()
        # The spot has 220 where the brain has 100; voxels of 4 mm at its edge have what is between.
        assert image[crop.truth].min() > np.median(image[image > image.min()])


@pytest.mark.parametrize("shape", [(5, 9, 20), (12, 12, 12)])
def test_a_box_about_a_voxel_has_air_beyond_the_volume(shape):
    volume = np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)
    box = centred(volume, [size / 2 for size in shape], (8, 8, 8))
    assert box.shape == (8, 8, 8)
    held = min(shape[0], 8) * min(shape[1], 8) * min(shape[2], 8)
    assert np.count_nonzero(box) == held


def test_a_model_that_sees_the_lesion_has_all_of_it_and_of_a_slice_the_plane_counts():
    truth = cube((4, 4, 0), side=6) | cube((4, 4, 12), side=6)
    image = truth.astype(np.float32)
    whole = HeldOutCrop(DRAWN, "a", {"t1": image}, truth)
    ((score, mask),) = scores_of(whole, {"m": fake(0.5)}, 2.0)
    assert score.dice == 1
    np.testing.assert_array_equal(mask, truth)
    assert score.true == pytest.approx(truth.sum() * 0.008)
    slab = np.repeat(truth[:, :, 3:4], 24, axis=2)
    sliced = HeldOutCrop(SLICES, "b", {"flair": slab.astype(np.float32)}, slab, axis=2)
    ((score, _),) = scores_of(sliced, {"m": fake(0.5)}, 2.0)
    assert (score.dice, score.shown) == (1, None)
    assert score.true == pytest.approx(36 * 0.04)


def test_what_is_invented_is_ml_and_on_slices_cm2():
    found = cube((4, 4, 4)).astype(np.float32)
    none = np.zeros(found.shape, np.bool_)
    ((scan, _),) = scores_of(HeldOutCrop(FREE, "a", {"t1": found}, none), {"m": fake(0.5)}, 2.0)
    assert (scan.dice, scan.false) == (None, pytest.approx(216 * 0.008))
    slab = np.repeat(found[:, :, 5:6], 24, axis=2)
    crop = HeldOutCrop(FREE_SLICES, "b", {"flair": slab}, none, axis=2)
    ((flat, _),) = scores_of(crop, {"m": fake(0.5)}, 2.0)
    assert flat.false == pytest.approx(36 * 0.04)


def test_an_offset_and_the_rule_for_several_scans_are_the_models_own():
    truth = cube((8, 8, 8))
    seen, blind = truth.astype(np.float32), np.zeros(truth.shape, np.float32)
    crop = HeldOutCrop(HEADS, "a", {"t1": blind, "dwi": seen}, truth)

    def dices(**own):
        return [score.dice for score, _ in scores_of(crop, {"m": fake(0.5, **own)}, 2.0)]

    # T1w alone, DWI alone, both: the mean of logits lets the blind one speak against it.
    assert dices() == [0, 1, 0]
    assert dices(fusion=Fusion("pooled"), threshold=0.3) == [0, 1, 1]
    everywhere = 2 * truth.sum() / (truth.sum() + truth.size)
    raised = dices(lesion_offsets={"t1": 7.0})
    assert raised[0] == pytest.approx(everywhere)
    assert raised[1] == 1


def test_greys_that_differ_have_a_distance_of_1_and_equal_ones_hardly_any():
    rng = np.random.default_rng(0)
    lesion = cube((9, 9, 9))
    image = rng.normal(0, 1, lesion.shape).astype(np.float32)
    assert grey_distance(image, lesion, 2.0) < 0.15
    assert grey_distance(np.where(lesion, image + 20, image).astype(np.float32), lesion, 2.0) == 1
    flat = lesion.astype(np.float32)
    assert grey_distance(flat, lesion, 2.0) is None, "there is but air around"


def test_tables_have_a_mean_for_each_model_and_kind():
    scores = [
        Score(model, kind, case, sequence, 1.0, false, dice, shown)
        for kind, case, sequence, false, dice, shown in (
            (SLICES, "1", "flair", 0.2, 0.5, None),
            (SLICES, "2", "flair", 0.2, 0.7, None),
            (FREE_SLICES, "3", "flair", 2.0, None, None),
            (FREE, "4", "t1", 0.5, None, None),
            (HEADS, "5", "dwi", 0.0, 0.8, 0.9),
            (HEADS, "6", "dwi", 0.0, 0.1, 0.3),
        )
        for model in ("old", "new")
    ]
    assert table(scores).splitlines()[2:] == [
        "| slices | 2 | Dice | 0.600 | 0.600 |",
        "| slices without lesion | 1 | false cm2 | 2.0 | 2.0 |",
        "| no stroke, t1 | 1 | false ml | 0.5 | 0.5 |",
        "| drawn heads, dwi | 2 | Dice | 0.450 | 0.450 |",
    ]
    assert shown_table(scores).splitlines()[2:] == [
        "| 0.8 and more | 1 | 0.800 | 0.800 |",
        "| 0 to 0.4 | 1 | 0.100 | 0.100 |",
    ]


def test_the_worst_come_first_with_both_lines(tmp_path):
    image = np.zeros((30, 40), np.float32)
    image[5:25, 5:35] = np.random.default_rng(1).random((20, 30))
    truth, found = (np.zeros(image.shape, np.bool_) for _ in range(2))
    truth[8:12, 8:12], found[16:22, 20:30] = True, True
    tiles = [Tile(dice, f"case {dice}", image, truth, found) for dice in (0.9, 0.1, 0.5)]
    picture = np.asarray(tile_picture(tiles[0])).astype(int)
    half = picture.shape[1] // 2
    for colour in (TRUTH, OUTLINE):
        near = np.abs(picture - colour).max(axis=-1) < 60
        assert not near[:, :half].any(), "the left one is plain"
        assert near[:, half:].sum() > 20
    draw_worst(tiles, 2, tmp_path / "two.png")
    draw_worst([tiles[1], tiles[2]], 2, tmp_path / "least.png")
    assert (tmp_path / "two.png").read_bytes() == (tmp_path / "least.png").read_bytes()
    with Image.open(tmp_path / "two.png") as sheet:
        assert sheet.mode == "P"
        colours = {colour for _, colour in sheet.convert("RGB").getcolors()}
        assert {TRUTH, OUTLINE} <= colours
        assert sheet.width > 2 * half


def test_other_voxels_than_the_configuration_has_are_refused(config_file):
    config = read_config(config_file)
    with pytest.raises(UsageError, match="m: works on voxels of 1 mm, the configuration on 4"):
        compare({"m": fake(0.5, voxel_size_mm=1.0)}, config, FEW)


def test_the_command_writes_tables_cases_and_pictures(config_file, tmp_path):
    own = OWN | {"window": 32, "voxel_size_mm": 4.0, "threshold": 0.4}
    folder = write_files(tmp_path / "m", tiny_files(own, seed=3))
    arguments = [f"a={folder}", str(folder), "--config", str(config_file), "--share", "0.01"]
    told = held_out.main([*arguments, "--worst", "2", "-o", str(tmp_path / "out")])
    assert told.startswith("| kind | n | measure | a | m |\n")
    assert (tmp_path / "out" / "table.md").read_text() == told
    with (tmp_path / "out" / "cases.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    first, second = ([r | {"model": ""} for r in rows if r["model"] == m] for m in "am")
    assert first == second
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"shown.md", "worst_slices.png", "worst_drawn.png", "worst_pasted.png"} <= names
    for wrong in (["--share", "0"], ["--worst", "0"]):
        with pytest.raises(UsageError, match="--share must be above 0"):
            held_out.main([*arguments, *wrong, "-o", str(tmp_path / "none")])
    assert not (tmp_path / "none").exists()
