import nibabel as nib
import numpy as np
import pytest

from strokeseg.errors import DataError
from strokeseg.images.arrival import adc_of, arrived
from strokeseg.images.diffusion_series import choose_shell, find_bvals, read_trace
from tests.factories import KINDS, head, scan_file

B = (0.0, 500.0, 1000.0, 1005.0, 995.0, 2000.0)


def series(folder, values=B, name="s_dwi"):
    """A head whose ADC is 800 everywhere, at each b-value."""
    data, affine = head(KINDS["ras"])
    volumes = [(data + 1) * np.exp(-value * 800e-6) for value in values]
    image = nib.Nifti1Image(np.stack(volumes, axis=3).astype(np.float32), affine)
    path = folder / f"{name}.nii.gz"
    nib.save(image, path)
    (folder / f"{name}.bval").write_text(" ".join(f"{value:g}" for value in values))
    return path


def test_the_shell_nearest_to_1000_is_taken_and_b0_never():
    shell = choose_shell("x", B)
    assert (shell.b_value, shell.weighted, shell.unweighted) == (1000.0, (2, 3, 4), (0,))
    assert choose_shell("x", B, 2500).weighted == (5,)
    assert choose_shell("x", B, 60).weighted == (1,)
    assert choose_shell("x", (0.0, 5.0, 2500.0)).weighted == (2,)


def test_a_series_becomes_the_geometric_mean_on_its_own_grid(tmp_path):
    path = series(tmp_path)
    scan = arrived("dwi", path)
    expected = (head(KINDS["ras"])[0] + 1) * np.exp(-0.8)
    np.testing.assert_allclose(scan.data, expected, rtol=1e-4)
    np.testing.assert_allclose(scan.grid.affine, nib.load(path).affine)
    assert scan.header.sform_code == nib.load(path).get_sform(coded=True)[1]
    assert scan.warnings == (
        "made of a diffusion series: the geometric mean of 3 volumes of b 1000",
    )
    far = arrived("dwi", path, b_value=2000)
    assert far.warnings[0].endswith("1 volume of b 2000")


def test_adc_comes_from_b0_and_the_shell_in_usual_units(tmp_path):
    scan = adc_of(series(tmp_path))
    np.testing.assert_allclose(scan.data, 800, rtol=1e-3)
    assert scan.warnings == ("ADC computed from b 0 and b 1000, in 1e-6 mm2/s",)


def test_b_values_are_inherited_as_bids_has_it(tmp_path):
    folder = tmp_path / "sub-01" / "dwi"
    folder.mkdir(parents=True)
    path = series(folder, name="sub-01_dwi")
    (folder / "sub-01_dwi.bval").rename(tmp_path / "dwi.bval")
    (tmp_path / "dataset_description.json").write_text("{}")
    assert find_bvals(path) == tmp_path / "dwi.bval"
    (tmp_path / "dwi.bval").rename(tmp_path / "acq-x_dwi.bval")
    assert find_bvals(path) is None


def test_a_lone_b0_is_refused_by_its_b_value(tmp_path):
    path = scan_file(tmp_path)
    (tmp_path / "ras.bval").write_text("0")
    with pytest.raises(DataError, match=r"without diffusion weighting \(b 0\)"):
        arrived("dwi", path)
    assert arrived("t2", path) == path
    (tmp_path / "ras.bval").write_text("1000")
    assert arrived("dwi", path) == path
    with pytest.raises(DataError, match="without diffusion weighting"):
        arrived("dwi", series(tmp_path, (0.0, 0.0)))


def test_what_does_not_fit_is_told(tmp_path):
    path = series(tmp_path)
    bvals = tmp_path / "s_dwi.bval"
    bvals.write_text("0 1000")
    with pytest.raises(DataError, match="one for each volume is needed"):
        arrived("dwi", path)
    bvals.write_text("0 thousand")
    with pytest.raises(DataError, match="holds no b-values"):
        arrived("dwi", path)
    with pytest.raises(DataError, match="no volume of b 0"):
        adc_of(series(tmp_path, (1000.0, 1000.0)))
    with pytest.raises(DataError, match=r"no \.bval beside it"):
        adc_of(scan_file(tmp_path))


def test_a_voxel_that_is_dark_in_one_direction_is_dark_in_the_trace(tmp_path):
    path = series(tmp_path)
    image = nib.load(path)
    data = image.get_fdata(dtype=np.float32)
    data[3, 3, 3, 3] = 0
    nib.save(nib.Nifti1Image(data, image.affine), path)
    assert read_trace(path, tmp_path / "s_dwi.bval").data[3, 3, 3] == 0
