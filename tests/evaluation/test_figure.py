import io
import math
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from strokeseg.evaluation.comparison import compare
from strokeseg.evaluation.figure import COLOURS, draw_comparison
from tests.evaluation.cases import evaluation, many, metrics


def drawn(first, second, names=("a", "b")):
    pair = (evaluation(name, cases) for name, cases in zip(names, (first, second), strict=True))
    return draw_comparison(compare(*pair))


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def count_of(image, colour):
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return np.count_nonzero(np.abs(image - wanted).max(axis=2) < 8)


def test_both_models_are_drawn_in_their_colours_and_the_same_each_time():
    png = drawn(many(1), many(2))
    image = pixels(png)
    assert min(count_of(image, colour) for colour in COLOURS) > 2000
    assert drawn(many(1), many(2)) == png


def test_a_better_model_is_drawn_otherwise():
    assert drawn(many(1), many(2)) != drawn(many(2), many(1))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (many(1, 1), many(2, 1)),
        ([metrics()] * 3, [metrics()] * 3),
        (many(1, 200), many(2, 200)),
        ([metrics(hd95_mm=math.inf, pr_auc=math.nan)] * 3, many(2, 3)),
    ],
    ids=["one case", "all perfect", "many cases", "nothing to draw in some panels"],
)
def test_odd_cohorts_are_drawn(first, second):
    assert pixels(drawn(first, second)).shape[2] == 3


def test_a_panel_without_pairs_is_left_empty():
    with_it, without = ([metrics(pr_auc=value)] * 3 for value in (0.5, math.nan))
    full, empty = (pixels(drawn(cases, cases)) for cases in (with_it, without))
    corner = (slice(full.shape[0] // 2 + 40, full.shape[0] - 120), slice(-280, None))
    assert (full[corner] != 255).any()
    assert not (empty[corner] != 255).any()


def test_long_names_stay_readable_and_inside():
    image = pixels(drawn(many(1), many(2), ("a-rather-long-name-of-a-model" * 9, "b")))
    border = np.concatenate([image[:, :4].ravel(), image[:, -4:].ravel()])
    assert (border == 255).all()


def test_matplotlib_waits_until_something_is_drawn():
    code = "import sys, strokeseg.evaluation.writing; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
