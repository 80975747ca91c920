import json

import numpy as np
import pytest

from strokeseg import Options, load_model, predict
from strokeseg.cli import run
from strokeseg.engines.base import ScanLogits
from strokeseg.engines.flips import FLIPS
from strokeseg.engines.scan import scan_logits
from strokeseg.engines.windows import plan_windows
from strokeseg.images.intensity import normalise
from strokeseg.images.reading import read_scan
from strokeseg.measure.brain_box import (
    AROUND_CORE_MM,
    brain_box,
    grid_of,
    moved,
    tissue_piece,
    widened,
)
from strokeseg.models.config import ModelConfig
from strokeseg.models.folder import Model
from strokeseg.models.loading import LoadedModel
from strokeseg.prediction.ensemble import Member, posterior
from strokeseg.prediction.field_of_view import MARGIN_MM, find_brain
from strokeseg.space.grid import Grid, working_grid
from strokeseg.space.resample import resample_image
from tests.factories import scan_file
from tests.tiny_models import CONFIG, OWN, tiny_files, write_files

GRID = Grid((100, 110, 140), np.diag([2.0, 2.0, 2.0, 1.0]))
WHITE = 3


class SeesBright:
    """An engine that takes what is bright for white matter, and what is brightest for lesion."""

    name, device, precision, classes = "stub", "cpu", "fp32", 6

    def __init__(self):
        self.windows = 0

    def logits(self, patch, out=None):
        self.windows += 1
        out = np.empty((6, *patch.shape), np.float32) if out is None else out
        out[:] = -8
        out[0] = 2
        out[WHITE][patch > 0] = 6
        out[5][patch > 6] = 12
        return out

    def release(self):
        pass


def model(**own):
    config = ModelConfig.from_config(CONFIG | {"strokeseg": OWN | {"window": 64} | own})
    return LoadedModel(Model("stub", None, config, {}, ""), SeesBright())


def ellipsoid(centre, radii, shape=GRID.shape):
    index = np.indices(shape)
    return sum(((i - c) / r) ** 2 for i, c, r in zip(index, centre, radii, strict=True)) <= 1


BRAIN = ellipsoid((50, 50, 95), (34, 42, 34))


def labels(*parts):
    out = np.zeros(GRID.shape, np.uint8)
    for part, label in parts:
        out[part] = label
    return out


def test_the_box_is_around_the_largest_piece():
    speck = ellipsoid((50, 50, 10), (5, 5, 5))
    box = brain_box(labels((BRAIN, WHITE), (speck, 1)), GRID, WHITE)
    assert box == (slice(16, 85), slice(8, 93), slice(61, 130))


def test_a_neck_is_cut_off_below_and_above_in_a_scan_that_is_upside_down():
    neck = ellipsoid((50, 50, 50), (20, 20, 60))
    found = labels((neck, 1), (BRAIN, WHITE))
    box = brain_box(found, GRID, WHITE)
    assert box[2] == slice(130 - 85, 130)
    turned = np.ascontiguousarray(found[:, :, ::-1])
    box = brain_box(turned, GRID, WHITE)
    assert box[2] == slice(10, 95)


def test_a_cord_and_a_face_that_hang_on_by_little_are_left_away():
    cord = ellipsoid((50, 50, 40), (4, 4, 40))
    face = ellipsoid((50, 92, 40), (16, 12, 16))
    bridge = ellipsoid((50, 82, 55), (3, 8, 8))
    alone = brain_box(labels((BRAIN, WHITE)), GRID, WHITE)
    box = brain_box(labels((face, 1), (bridge, 1), (cord, 2), (BRAIN, WHITE)), GRID, WHITE)
    around = widened(alone, AROUND_CORE_MM, GRID)
    assert all(a.start <= b.start and b.stop <= a.stop for a, b in zip(around, box, strict=True))
    assert all(b.start <= a.start and a.stop <= b.stop for a, b in zip(alone, box, strict=True))


def test_a_thin_slab_is_kept_whole():
    slab = np.zeros((90, 100, 9), np.bool_)
    slab[10:80, 10:90] = True
    grid = Grid(slab.shape, np.diag([2.0, 2.0, 6.0, 1.0]))
    assert brain_box(slab * np.uint8(WHITE), grid, WHITE) == (
        slice(10, 80),
        slice(10, 90),
        slice(0, 9),
    )


def test_a_crumb_is_no_brain():
    assert brain_box(labels((ellipsoid((50, 50, 50), (15, 15, 15)), 1)), GRID, WHITE) is None
    assert brain_box(labels(), GRID, WHITE) is None
    assert not tissue_piece(labels()).any()


def test_a_part_of_a_brain_is_not_told_from_a_neck_for_certain():
    part = BRAIN.copy()
    part[:, :, 102:] = False
    part[:, :, :88] = False
    assert 300 < part.sum() * GRID.voxel_volume_ml < 950
    assert brain_box(labels((part, WHITE)), GRID, WHITE) is None


def test_a_neck_that_hardly_has_white_matter_is_no_brain():
    inner = ellipsoid((50, 50, 95), (17, 17, 17))
    assert brain_box(labels((BRAIN, 1), (inner, WHITE)), GRID, WHITE) is None
    inner = ellipsoid((50, 50, 95), (22, 26, 22))
    assert brain_box(labels((BRAIN, 1), (inner, WHITE)), GRID, WHITE) is not None


def test_boxes_are_widened_within_the_grid_and_counted_from_outer_ones():
    box = (slice(0, 10), slice(20, 30), slice(130, 140))
    assert widened(box, 5.0, GRID) == (slice(0, 13), slice(17, 33), slice(127, 140))
    outer = (slice(2, 50), slice(10, 60), slice(100, 140))
    inner = (slice(0, 3), slice(1, 5), slice(2, 9))
    assert moved(inner, outer) == (slice(2, 5), slice(11, 15), slice(102, 109))
    part = grid_of(outer, GRID)
    assert part.shape == (48, 50, 40)
    np.testing.assert_allclose(part.affine[:3, 3], [4, 20, 200])


def test_a_margin_is_halved_rather_than_spending_a_window_more():
    box = (slice(10, 96), slice(10, 104), slice(10, 80))
    assert widened(box, 8.0, GRID, 96) == (slice(6, 100), slice(6, 108), slice(6, 84))
    box = (slice(2, 92), slice(12, 104), slice(1, 91))
    fitted = widened(box, 8.0, GRID, 96)
    assert fitted == (slice(0, 96), slice(10, 106), slice(0, 95))


@pytest.fixture
def head():
    rng = np.random.default_rng(0)
    image = np.abs(rng.normal(0, 5, GRID.shape)).astype(np.float32)
    image[ellipsoid((50, 50, 80), (40, 48, 70))] = 60
    image[BRAIN] += 140
    return image


def test_the_brain_is_found_with_its_margin(head):
    box = find_brain(head, GRID, model(), 64)
    assert box == widened((slice(16, 85), slice(8, 93), slice(61, 130)), MARGIN_MM, GRID)


def test_a_model_without_white_matter_looks_for_nothing(head):
    names = ["background", "a", "b", "c", "d", "lesion"]
    stub = model(class_names=names)
    assert find_brain(head, GRID, stub, 64) is None
    assert stub.engine.windows == 0


def image_of(head):
    return (head, GRID.affine)


def test_windows_are_spent_on_the_brain_alone(head):
    whole, brain = model(), model(field_of_view="brain")
    a = predict({"t1": image_of(head)}, model=whole)
    b = predict({"t1": image_of(head)}, model=brain)
    assert brain.engine.windows < whole.engine.windows / 1.5
    kept = b.record["fields_of_view"][0]
    assert kept["kept"] == "brain"
    assert kept["modality"] == "t1"
    assert 0 < kept["kept_share"] < 0.6
    assert a.record["fields_of_view"][0]["kept"] == "whole"
    np.testing.assert_array_equal(a.tissue[BRAIN], b.tissue[BRAIN])
    np.testing.assert_allclose(kept["low_mm"], [23.0, 7.0, 113.0])


def test_a_model_that_goes_by_the_most_probable_class_may_see_the_brain_alone(head):
    head[50:56, 50:56, 95:101] = 1000
    stub = model(threshold=None, min_peak=0.0, min_volume_ml=0.0, field_of_view="brain")
    found = predict({"t1": image_of(head)}, model=stub, options=Options(tta=False))
    assert found.record["fields_of_view"][0]["kept"] == "brain"
    assert found.mask.any()
    assert found.volume_range_ml == (found.volume_ml, found.volume_ml)


def test_each_field_of_view_may_be_asked_for(head):
    for own, asked in (("whole", "brain"), ("brain", "whole")):
        options = Options(field_of_view=asked, tta=False)
        result = predict({"t1": image_of(head)}, model=model(field_of_view=own), options=options)
        assert result.record["fields_of_view"][0]["kept"] == asked


def test_a_scan_without_a_brain_runs_whole_with_the_warning_there_is():
    nothing = np.zeros(GRID.shape, np.float32)
    nothing[ellipsoid((50, 50, 50), (8, 8, 8))] = 30
    options = Options(field_of_view="brain", tta=False)
    result = predict({"t1": image_of(nothing)}, model=model(), options=options)
    view = result.record["fields_of_view"][0]
    assert (view["wanted"], view["kept"], view["kept_share"]) == ("brain", "whole", 1.0)
    assert any("hardly any brain" in line for line in result.warnings)


def test_what_lies_beyond_the_brain_is_background(head):
    lit = head.copy()
    lit[45:55, 45:55, 5:9] = 5000
    result = predict({"t1": image_of(lit)}, model=model(), options=Options(field_of_view="brain"))
    assert not result.mask[:, :, :20].any()
    assert not result.probability[:, :, :20].any()
    assert not result.tissue[:, :, :20].any()


def test_of_two_scans_one_without_a_brain_is_seen_whole(head):
    dim = np.full(GRID.shape, 3.0, np.float32)
    dim[0] = 4
    options = Options(field_of_view="brain", tta=False)
    result = predict({"t1": image_of(head), "t2": image_of(dim)}, model=model(), options=options)
    assert [v["kept"] for v in result.record["fields_of_view"]] == ["brain", "whole"]


def test_the_published_chain_is_the_same_to_the_bit_with_whole(tmp_path):
    published = load_model(str(write_files(tmp_path / "published", tiny_files(None, seed=4))))
    assert published.model.config.field_of_view == "whole"
    assert published.model.config.fusion.rule == "mean_logits"
    assert published.model.config.hull_margin_mm is None
    path = scan_file(tmp_path)
    result = predict({"t1": path}, model=published)
    volume = read_scan(path)
    working = working_grid(volume.grid, 1.0)
    image = normalise(resample_image(volume.data, volume.grid, working), "histogram")
    plan = plan_windows(image.shape, 192, 0.5, published.model.config.spec.stride_product)
    logits = scan_logits(published.engine, image, plan, FLIPS)
    plain = ScanLogits(logits.mean, logits.per_flip)
    answer = posterior([Member(plain, working, volume.grid)], volume.grid, with_entropy=False)
    assert result.probability.tobytes() == answer.probability.tobytes()
    asked = predict({"t1": path}, model=published, options=Options(field_of_view="whole"))
    assert asked.probability.tobytes() == result.probability.tobytes()


def test_the_picture_frames_what_was_seen_with_debug(head):
    options = Options(field_of_view="brain", tta=False)
    result = predict({"t1": image_of(head)}, model=model(), options=options)
    plain, framed = result.picture("t"), result.picture("t", framed=True)
    assert plain != framed
    whole = predict({"t1": image_of(head)}, model=model(), options=Options(tta=False))
    assert whole.picture("t") == whole.picture("t", framed=True)


def test_the_command_line_takes_what_is_seen_and_how_scans_become_one(tmp_path):
    folder = write_files(tmp_path / "m", tiny_files(OWN | {"window": 32}, seed=3))
    path = scan_file(tmp_path)
    chosen = ["--model", str(folder), "-o", str(tmp_path / "out"), "--fast", "-q"]
    asked = ["--field-of-view", "brain", "--fusion", "noisy_or", "--weight", "t1=2"]
    assert run(["predict", "--t1", str(path), *chosen, *asked]) == 0
    record = json.loads(next((tmp_path / "out").glob("*_strokeseg.json")).read_text())
    assert record["options"]["field_of_view"] == "brain"
    assert record["fusion"]["rule"] == "noisy_or"
    assert record["fusion"]["weights"] == {"t1": 2.0}


@pytest.mark.parametrize(
    "wrong",
    [
        ["--field-of-view", "skull"],
        ["--fusion", "vote"],
        ["--weight", "flair"],
        ["--weight", "flair=heavy"],
        ["--weight", "t1=-1"],
        ["--weight", "flair=2"],
        ["--weight", "flair=1", "--weight", "flair=2"],
    ],
)
def test_what_makes_no_sense_is_refused_by_name(wrong, tmp_path, capsys):
    assert run(["predict", "--t1", str(scan_file(tmp_path)), *wrong]) == 2
    assert wrong[0] in capsys.readouterr().err
