import json

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from strokeseg import Options, load_model, predict
from strokeseg.cli import run
from strokeseg.prediction.filling import fill_lesion
from strokeseg.results.output_names import KINDS, parse_kinds
from strokeseg.space.grid import Grid
from strokeseg.space.mirror import reflection_of
from tests.factories import rotation, scan_file
from tests.tiny_models import OWN, isolate, tiny_files, write_files

SHAPE = (90, 100, 80)


def symmetrical_head(degrees=(0, 0, 0), shift_mm=(0, 0, 0)):
    """Two equal halves full of structure, seen by a scanner that is turned and shifted."""
    rng = np.random.default_rng(3)
    half = ndimage.gaussian_filter(rng.normal(size=(45, *SHAPE[1:])), 3.0)
    half /= half.std()
    both = np.concatenate([half[::-1], half]).astype(np.float32)
    x, y, z = np.ogrid[-44.5:45, -49.5:50, -39.5:40]
    brain = (x / 38) ** 2 + (y / 44) ** 2 + (z / 34) ** 2 < 1
    affine = np.eye(4)
    affine[:3, 3] = (-44.5, -49.5, -39.5)
    to_scan = np.eye(4)
    to_scan[:3, :3], to_scan[:3, 3] = rotation(np.array(degrees)), shift_mm
    data = np.where(brain, 500 + 60 * both, 0).astype(np.float32)
    return data, brain, Grid(SHAPE, to_scan @ affine), to_scan


def a_lesion(centre, radius=9):
    return np.sum((np.moveaxis(np.indices(SHAPE), 0, -1) - centre) ** 2, axis=-1) < radius**2


@pytest.mark.parametrize(
    ("degrees", "shift_mm"), [((0, 0, 0), (0, 0, 0)), ((4, 7, -11), (12, -9, 20))]
)
def test_a_lesion_is_filled_with_what_was_there(degrees, shift_mm):
    healthy, brain, grid, to_scan = symmetrical_head(degrees, shift_mm)
    mask = a_lesion((66, 45, 40))
    scan = np.where(mask, 80, healthy).astype(np.float32)
    filling = fill_lesion(scan, grid, mask, brain)
    filled, how = filling.filled.image, filling.filled.how
    assert np.array_equal(filled[~mask], scan[~mask])
    # What is left is the interpolation's, of voxels of 1 mm and structures of 7.
    error = np.abs(filled - healthy)[mask]
    assert np.median(error) < 8
    assert np.corrcoef(filled[mask], healthy[mask])[0, 1] > 0.97
    assert how["voxels"] == how["mirrored"] == np.count_nonzero(mask)
    assert filling.warnings == ()
    turned = to_scan @ np.diag([-1.0, 1, 1, 1]) @ np.linalg.inv(to_scan)
    corners = np.array([(a, b, c, 1) for a in (-40, 40) for b in (-40, 40) for c in (-30, 30)])
    places = to_scan @ corners.T
    assert np.linalg.norm((turned - how["reflection"]) @ places, axis=0).max() < 1.0


def test_intensities_are_matched_where_one_side_is_brighter():
    healthy, brain, grid, _ = symmetrical_head()
    mask = a_lesion((66, 45, 40))
    # A receive coil that sees the right side brighter: at the lesion, 21.5 mm off, by a third.
    bright = healthy * (1 + 0.3 * np.linspace(-1, 1, SHAPE[0]))[:, None, None]
    bright = bright.astype(np.float32)
    filling = fill_lesion(np.where(mask, 80, bright).astype(np.float32), grid, mask, brain)
    assert filling.filled.how["gain"] == pytest.approx(1.145 / 0.855, abs=0.08)
    assert filling.filled.image[mask].mean() == pytest.approx(bright[mask].mean(), rel=0.03)


def test_where_both_sides_are_lesion_the_tissue_around_is_spread_and_that_is_told():
    healthy, brain, grid, _ = symmetrical_head()
    mask = a_lesion((66, 45, 40)) | a_lesion((23, 45, 40))
    filling = fill_lesion(np.where(mask, 80, healthy).astype(np.float32), grid, mask, brain)
    filled, how = filling.filled.image, filling.filled.how
    assert how["spread_from_around"] == pytest.approx(np.count_nonzero(mask), rel=0.1)
    assert filled[mask].min() > 300
    assert filled[mask].max() < 700
    assert "no healthy tissue opposite" in filling.warnings[0]


def test_a_scan_without_lesion_stays_as_it_is():
    healthy, brain, grid, _ = symmetrical_head()
    filling = fill_lesion(healthy, grid, np.zeros(SHAPE, bool), brain)
    assert np.array_equal(filling.filled.image, healthy)
    assert filling.filled.how == {"voxels": 0}


def test_the_plane_is_that_of_the_halves():
    healthy, brain, grid, _ = symmetrical_head((0, 0, 0), (5, 0, 0))
    mirror, alike = reflection_of(healthy, grid, brain)
    assert alike > 0.9
    np.testing.assert_allclose(mirror @ mirror, np.eye(4), atol=1e-9)
    np.testing.assert_allclose(mirror @ (5, 10, 20, 1), (5, 10, 20, 1), atol=0.5)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    own = OWN | {"threshold": 0.3, "min_volume_ml": 0.0, "brain_mask": False, "window": 32}
    return write_files(tmp_path / "tiny", tiny_files(own, seed=3))


def test_filled_is_saved_where_it_is_asked_for_and_marked_as_what_it_is(tiny, tmp_path):
    assert "filled" not in parse_kinds("all")
    assert parse_kinds("all,filled") == {*KINDS, "filled"}
    scan = scan_file(tmp_path)
    options = Options(tta=False, filled=True)
    result = predict({"t1": scan}, model=load_model(str(tiny)), options=options)
    result.save(tmp_path / "out", kinds={"mask", "filled"}, prefix="a")
    stored = nib.load(scan)
    image = nib.load(tmp_path / "out" / "a_desc-lesionfilled_T1w.nii.gz")
    np.testing.assert_array_equal(image.affine, stored.affine)
    np.testing.assert_array_equal(
        image.get_fdata()[~result.mask], stored.get_fdata()[~result.mask].astype(np.float32)
    )
    about = json.loads((tmp_path / "out" / "a_desc-lesionfilled_T1w.json").read_text())
    assert about["LesionFilled"] is True
    assert "no scan as it was acquired" in about["Description"]
    assert about["Sources"] == [scan.name]
    assert about["Filling"]["voxels"] == np.count_nonzero(result.mask)


def test_without_a_t1_there_is_nothing_to_fill(tiny, tmp_path, capsys):
    scan = scan_file(tmp_path)
    command = ["predict", "--flair", str(scan), "-o", str(tmp_path / "out"), "--model", str(tiny)]
    assert run([*command, "--save", "mask,filled"]) == 2
    assert "--save filled fills the T1w" in capsys.readouterr().err
    options = Options(tta=False, filled=True)
    result = predict({"flair": scan}, model=load_model(str(tiny)), options=options)
    assert result.filled is None
    assert "no filled T1w was written: results are on the grid of flair" in result.warnings
