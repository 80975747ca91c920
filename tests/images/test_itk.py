import sys

import numpy as np
import pytest

from strokeseg.errors import DataError, EngineError
from strokeseg.images.file_names import is_image_name, is_itk_name, other_half_names, without_ending
from strokeseg.images.reading import outline, read_scan
from tests.factories import KINDS, head, scan_file

sitk = pytest.importorskip("SimpleITK")
ENDINGS = ("nrrd", "nhdr", "mha", "mhd")


def as_itk(folder, kind, ending, dtype=None):
    """The same head as SimpleITK writes it, from the NIfTI that it reads."""
    image = sitk.ReadImage(str(scan_file(folder, kind)))
    path = folder / f"{kind}.{ending}"
    sitk.WriteImage(image if dtype is None else sitk.Cast(image, dtype), str(path))
    return path


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", ["ras", "lps", "oblique", "anisotropic-oblique"])
def test_voxels_lie_where_those_of_the_nifti_do(tmp_path, kind, ending):
    volume, truth = read_scan(as_itk(tmp_path, kind, ending)), read_scan(scan_file(tmp_path, kind))
    np.testing.assert_array_equal(volume.data, truth.data)
    np.testing.assert_allclose(volume.grid.affine, truth.grid.affine, atol=1e-4)
    assert volume.path.name == f"{kind}.{ending}"


def test_the_header_alone_gives_the_grid(tmp_path):
    found = outline(as_itk(tmp_path, "fine", "nrrd"))
    assert found.grid.shape == KINDS["fine"].shape
    assert found.header.dtype == np.float32


def test_names_of_them_are_names_of_images():
    for ending in ENDINGS:
        assert is_itk_name(f"a.{ending.upper()}")
        assert is_image_name(f"a.{ending}")
        assert without_ending(f"a_T1w.{ending}") == "a_T1w"
        assert other_half_names(f"a.{ending}") == ()
    assert not is_itk_name("a.nii.gz")


def test_what_cannot_be_read_is_told(tmp_path):
    damaged = tmp_path / "damaged.nrrd"
    damaged.write_bytes(b"NRRD0004\ntype: short\n")
    with pytest.raises(DataError, match="is no NRRD or MetaImage that can be read"):
        read_scan(damaged)
    lonely = as_itk(tmp_path, "ras", "mhd")
    lonely.with_suffix(".raw").unlink()
    with pytest.raises(DataError, match="its data file is missing"):
        read_scan(lonely)
    colours = tmp_path / "colours.mha"
    sitk.WriteImage(sitk.Image([40, 40, 40], sitk.sitkVectorUInt8, 3), str(colours))
    with pytest.raises(DataError, match="has 3 values for each voxel"):
        outline(colours)
    flat = tmp_path / "flat.mha"
    sitk.WriteImage(sitk.Image([40, 40], sitk.sitkFloat32), str(flat))
    with pytest.raises(DataError, match="has 2 axes"):
        outline(flat)


def test_without_simpleitk_it_is_said_how_to_have_it(tmp_path, monkeypatch):
    path = as_itk(tmp_path, "ras", "nrrd")
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(EngineError, match=r"pip install 'strokeseg\[itk\]'"):
        read_scan(path)


def test_doubles_become_float32(tmp_path):
    volume = read_scan(as_itk(tmp_path, "ras", "mha", sitk.sitkFloat64))
    np.testing.assert_allclose(volume.data, np.rint(head(KINDS["ras"])[0]), atol=1)
    assert volume.data.dtype == np.float32
