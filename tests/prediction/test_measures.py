import numpy as np
import pytest

from strokeseg.images.reading import read_scan
from strokeseg.models.classes import CLASSES, is_fluid
from strokeseg.prediction.ensemble import Posterior
from strokeseg.prediction.leaving_out import LeftOut
from strokeseg.prediction.measures import case_warnings, measure_case, measure_lesions
from strokeseg.prediction.scans import Scans
from strokeseg.prediction.sequences import Sights
from strokeseg.space.grid import Grid

SHAPE = (21, 12, 12)
GRID = Grid(SHAPE, np.diag([1.0, 1.0, 1.0, 1.0]))
MIDLINE_MM = 10.0
BRAIN = (1400.0, MIDLINE_MM)
VENTRICLE = (slice(15, 18), slice(4, 8), slice(4, 8))
OPPOSITE = (slice(3, 6), slice(4, 8), slice(4, 8))


def answer():
    tissue = np.full(SHAPE, 3, np.uint8)
    tissue[VENTRICLE] = CLASSES.index("CSF")
    return Posterior(np.full(SHAPE, 0.9, np.float32), None, tissue, None)


def mask_at(*boxes):
    mask = np.zeros(SHAPE, bool)
    for box in boxes:
        mask[box] = True
    return mask


def warned(mask):
    found = answer()
    reference = read_scan((np.random.default_rng(0).random((40, 40, 40), np.float32), GRID.affine))
    lesions = measure_lesions(mask, found, GRID, CLASSES, BRAIN)
    measures = measure_case(mask, found, GRID, CLASSES, lesions, BRAIN, (0.0, 1.0), 8)
    left_out = LeftOut({"t1": reference}, "t1", strict=True)
    scans = Scans("t1", reference, left_out, {}, {}, Sights((("t1",),)))
    return [line for line in case_warnings(scans, measures) if "cerebrospinal" in line]


def test_a_lesion_opposite_fluid_is_told_by_its_number():
    elsewhere = (slice(2, 8), slice(0, 3), slice(0, 12))
    (told,) = warned(mask_at(OPPOSITE, elsewhere))
    assert told.startswith("lesion 2 lies where the other side of the head has cerebrospinal fluid")
    assert warned(mask_at(elsewhere)) == []


@pytest.mark.parametrize(
    ("names", "brain"),
    [(CLASSES, None), (CLASSES, (1400.0, None)), ((*CLASSES[:4], "air", "lesion"), BRAIN)],
)
def test_nothing_is_marked_where_midline_or_fluid_are_not_known(names, brain):
    (lesion,) = measure_lesions(mask_at(OPPOSITE), answer(), GRID, names, brain)
    assert lesion.opposite_fluid is None


def test_what_is_fluid_is_known_by_name():
    assert [name for name in CLASSES if is_fluid(name)] == ["CSF"]
