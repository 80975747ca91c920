import numpy as np
import pytest

from strokeseg.images.reading import read_scan
from strokeseg.measure.lesions import find_lesions
from strokeseg.prediction.plausibility import FAR_MM, doubts_about, place_warnings

SHAPE = (60, 60, 60)
MM = np.diag([4.0, 4.0, 4.0, 1.0])


def ball(centre, radius):
    at = np.indices(SHAPE).transpose(1, 2, 3, 0)
    return np.linalg.norm(at - np.array(centre), axis=-1) < radius


def scan(air=10.0, brain=300.0):
    data = np.full(SHAPE, air, np.float32)
    data[ball((30, 30, 30), 18)] = brain
    data[ball((35, 30, 30), 3)] = 60.0 if air >= 0 else 0.0
    return read_scan((data, MM))


def test_a_brain_far_from_what_is_shown_is_told():
    assert place_warnings(ball((30, 30, 40), 15), scan()) == []
    (told,) = place_warnings(ball((30, 30, 8), 5), scan())
    assert "the brain found lies 88 mm from the centre" in told
    assert FAR_MM < 88
    assert place_warnings(np.zeros(SHAPE, bool), scan()) == []


@pytest.mark.parametrize(("air", "brain", "modality"), [(10, 300, "t1"), (-1000, 35, "ct")])
def test_a_lesion_as_dark_as_air_is_told(air, brain, modality):
    volume = scan(air, brain)
    mask = ball((35, 30, 30), 2) | ball((4, 4, 4), 3) | ball((25, 30, 30), 4)
    lesions = find_lesions(mask, mask.astype(np.float32), volume.grid)
    doubts = doubts_about(ball((30, 30, 30), 18), volume, modality)
    (told,) = doubts.with_lesions(mask, lesions, volume.data)
    assert told.startswith("lesion 2 is as dark as the air around the head")
    inside = lesions[:1]
    assert doubts.with_lesions(mask, inside, volume.data) == []


def test_without_air_at_the_border_nothing_is_told():
    full = read_scan((np.where(ball((30, 30, 30), 5), 40.0, 300.0).astype(np.float32), MM))
    doubts = doubts_about(np.ones(SHAPE, bool), full, "t1")
    assert doubts.air_below is None
    assert doubts_about(None, full, "t1").air_below is None
