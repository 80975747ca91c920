"""Pictures of edges: three masks on one image, and a picture of both stages' losses."""

import numpy as np
import pytest
from PIL import Image

from strokeseg.errors import DataError, UsageError
from strokeseg.results.picture import OUTLINE, TRUTH
from strokeseg.training.fitting.curves import draw_stage_curves
from strokeseg.training.stage_gallery import (
    COLOURS,
    SHOWN_VOX,
    TIMES,
    Edges,
    draw_edges,
    edges_row,
    main,
)
from tests.factories import scan_file
from tests.two_stages import FIRST, two_stage_model


def made(shape=(80, 90, 20)):
    image = np.random.default_rng(0).random(shape, np.float32)
    masks = [np.zeros(shape, bool) for _ in range(3)]
    masks[0][60:70, 20:30, 9] = True
    masks[1][60:70, 20:28, 9] = True
    masks[1][60:70, 20:30, 3] = True
    return Edges("case 1", image, tuple(masks))


def near(row, colour):
    distance = np.abs(np.asarray(row).astype(int) - np.array(colour)).max(axis=-1)
    return np.argwhere(distance <= 30)


def test_each_mask_is_drawn_on_its_own_panel_where_the_truth_is_largest():
    row = edges_row(made())
    edge = SHOWN_VOX * TIMES
    assert row.size == (3 * (edge + 4), edge + 16)
    truth, found = near(row, TRUTH), near(row, OUTLINE)
    assert truth[:, 1].max() < edge
    assert found[:, 1].min() >= edge + 4
    assert found[:, 1].max() < 2 * (edge + 4)
    # Along A the one-stage mask is two voxels shorter.
    heights = [np.ptp(places[:, 0]) for places in (truth, found)]
    assert heights[0] - heights[1] == pytest.approx(2 * TIMES, abs=1)


def test_pictures_are_of_few_colours(tmp_path):
    draw_edges([made(), made((80, 90, 12)), made()], tmp_path / "edges.png")
    with Image.open(tmp_path / "edges.png") as picture:
        assert picture.mode == "P"
        assert len(picture.getcolors()) <= COLOURS
        row = edges_row(made())
        assert picture.size == (2 * (row.size[0] + 4), 2 * row.size[1])


def test_the_command_draws_cases_and_scans(tmp_path):
    model = two_stage_model(
        tmp_path / "two", own=FIRST | {"voxel_size_mm": 4.0}, voxel_size_mm=2.0, most_crops=2
    )
    scan = scan_file(tmp_path, "ras")
    out = tmp_path / "edges.png"
    given = [str(model), "smoke", "--first", str(model), "-o", str(out)]
    assert main([*given, "--cases", "0", "--scan", str(scan), str(scan)]) == f"{out}\n"
    with Image.open(out) as picture:
        assert picture.size[0] > 2 * 3 * SHOWN_VOX * TIMES
    with pytest.raises(UsageError, match="--cases"):
        main(given)


def test_both_stages_losses_are_drawn_beside_each_other(tmp_path):
    first, second = tmp_path / "first.tsv", tmp_path / "second.tsv"
    first.write_text("step\tloss\n1\t2.0\n2\t1.0\n")
    second.write_text("step\tloss\tparts\tfirst\n1\t2.0\t1.5\t1.6\n2\t1.0\t0.5\t1.4\n")
    draw_stage_curves(first, second, tmp_path / "both.png")
    with Image.open(tmp_path / "both.png") as picture:
        colours = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(colours, axis=0)) > 4
    second.write_text("step\tloss\n")
    with pytest.raises(DataError, match="holds no losses"):
        draw_stage_curves(first, second, tmp_path / "none.png")
