import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from strokeseg import Options, load_model, predict
from strokeseg.cli.predict import mni_fact
from strokeseg.errors import DataError, UsageError
from strokeseg.models.classes import CLASSES, grey_of
from strokeseg.prediction.mni import fit_to_mean_head, to_mni_case
from strokeseg.results.output_names import KINDS, parse_kinds
from strokeseg.space.grid import Grid
from strokeseg.space.mni import mean_head
from tests.factories import rotation, scan_file
from tests.tiny_models import OWN, tiny_files, write_files

SimpleITK = pytest.importorskip("SimpleITK")
LESION = len(CLASSES) - 1


def case_like_the_mean_head(scale, degrees, shift_mm):
    """Tissues of the mean head as if a scanner had seen them otherwise, with a lesion."""
    head, grid = mean_head()
    greys = np.array([grey_of(name) if name != "background" else 0.0 for name in CLASSES[:-1]])
    tissue = np.abs(head[..., np.newaxis] - greys).argmin(axis=-1).astype(np.uint8)
    points = np.stack(np.indices(grid.shape), axis=-1) @ grid.affine[:3, :3].T
    points += grid.affine[:3, 3]
    lesion = np.linalg.norm(points - (35, -20, 20), axis=-1) < 14
    tissue[lesion] = LESION
    to_scan = np.eye(4)
    to_scan[:3, :3] = rotation(degrees) @ np.diag(scale)
    to_scan[:3, 3] = shift_mm
    return tissue, lesion, Grid(grid.shape, to_scan @ grid.affine), to_scan


def test_a_case_is_brought_to_where_the_mean_head_lies():
    # Two of the turns are such as moments alone do not find.
    tissue, lesion, grid, to_scan = case_like_the_mean_head(
        (1.08, 0.94, 1.05), (8, 6, -7), (9, 14, -20)
    )
    found = to_mni_case(lesion, lesion.astype(np.float32), tissue, grid, CLASSES)
    corners = np.array([(x, y, z, 1) for x in (-55, 55) for y in (-90, 55) for z in (-35, 60)])
    apart = np.linalg.norm(((found.fit.to_moving - to_scan) @ corners.T)[:3], axis=0)
    assert apart.max() < 4
    there = np.argwhere(found.lesion.mask).mean(axis=0) + np.array([-90, -126, -72])
    np.testing.assert_allclose(there, (35, -20, 20), atol=2)
    record = found.as_record()
    size = np.prod((1.08, 0.94, 1.05))
    assert record["lesion_volume_ml"] == pytest.approx(lesion.sum() * 0.027 * size, rel=1e-3)
    assert record["lesion_volume_in_mni_ml"] == pytest.approx(lesion.sum() * 0.027, rel=0.1)
    assert found.warnings() == []
    lost = replace(found, lesion=replace(found.lesion, mask=np.zeros_like(found.lesion.mask)))
    (said,) = lost.warnings()
    told = f"nothing of the lesion ({record['lesion_volume_ml']:.2f} ml) is in the mask in MNI152"
    assert said.startswith(told)
    assert replace(lost, volume_ml=0.0).warnings() == []


def test_a_way_that_no_head_takes_is_doubted():
    tissue, lesion, grid, _ = case_like_the_mean_head((0.6, 1, 1), (0, 0, 0), (0, 0, 0))
    found = to_mni_case(lesion, lesion.astype(np.float32), tissue, grid, CLASSES)
    (said,) = found.warnings()
    assert "which no head needs" in said


def test_a_lesion_does_not_count_for_the_way():
    tissue, _, grid, _ = case_like_the_mean_head((1, 1, 1), (0, 0, 0), (0, 0, 0))
    plain = fit_to_mean_head(tissue, grid, CLASSES)
    odd = tissue.copy()
    inside = ndimage.binary_erosion(tissue == LESION, iterations=1)
    odd[inside] = 0
    odd[tissue == LESION] = LESION
    again = fit_to_mean_head(odd, grid, CLASSES)
    assert np.array_equal(plain.to_moving, again.to_moving)
    np.testing.assert_allclose(plain.to_moving, np.eye(4), atol=2)


def test_a_model_without_tissues_or_a_scan_without_brain_is_refused():
    tissue, _, grid, _ = case_like_the_mean_head((1, 1, 1), (0, 0, 0), (0, 0, 0))
    with pytest.raises(DataError, match="--save mni needs grey and white matter"):
        fit_to_mean_head(tissue, grid, ("background", "lesion"))
    with pytest.raises(DataError, match="no grey or white matter"):
        fit_to_mean_head(np.zeros_like(tissue), grid, CLASSES)


def test_mni_is_saved_where_it_is_asked_for_by_name(tmp_path):
    assert "mni" not in parse_kinds("all")
    assert parse_kinds("all,mni") == {*KINDS, "mni"}
    with pytest.raises(UsageError, match="mni"):
        parse_kinds("mnu")
    own = OWN | {"threshold": 0.3, "min_volume_ml": 0.0, "brain_mask": False, "window": 32}
    own |= {"class_names": list(CLASSES)}
    folder = write_files(tmp_path / "tiny", tiny_files(own, seed=3))
    options = Options(tta=False, mni=True)
    scan = scan_file(tmp_path)
    result = predict({"t1": scan}, model=load_model(str(folder)), options=options)
    result.save(tmp_path / "out", kinds={"mask", "mni"}, prefix="a")
    start = tmp_path / "out" / "a_space-MNI152_label-L_"
    mask, probability = (nib.load(f"{start}{kind}.nii.gz") for kind in ("mask", "probseg"))
    assert mask.shape == probability.shape == (181, 217, 181)
    assert int(mask.header["sform_code"]) == 4
    about = json.loads((tmp_path / "out" / "a_space-MNI152_label-L_mask.json").read_text())
    assert about["SpatialReference"] == "MNI152"
    record = json.loads((tmp_path / "out" / "a_strokeseg.json").read_text())
    assert record["mni"] == about["Transform"]
    transform = SimpleITK.ReadTransform(
        str(tmp_path / "out/a_from-native_to-MNI152_mode-image_xfm.tfm")
    )
    lps = np.array([-1, -1, 1])
    for point in ((10.0, -20.0, 30.0), (-5.0, 40.0, 0.0)):
        native = lps * transform.TransformPoint((lps * point).tolist())
        back = np.array(record["mni"]["matrix"]) @ [*native, 1]
        np.testing.assert_allclose(back[:3], point, atol=0.01)
    there = np.count_nonzero(np.asarray(mask.dataobj)) / 1000
    assert record["mni"]["lesion_volume_in_mni_ml"] == pytest.approx(there, abs=1e-3)
    assert record["mni"]["lesion_volume_ml"] == pytest.approx(result.volume_ml, abs=1e-3)
    assert mni_fact(record["mni"]) == {"in MNI152": f"{there:.2f} ml"}
