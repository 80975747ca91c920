"""Raw diffusion series are told from single images by their b-values; no image is opened."""

import pytest

from strokeseg.cohort.cases.diffusion import Diffusion, diffusion_of


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (None, Diffusion.IMAGE),
        ("1000\n", Diffusion.IMAGE),
        ("0 1000 1000", Diffusion.SERIES),
        ("0", Diffusion.UNWEIGHTED),
        ("", Diffusion.SERIES),
        ("b-values", Diffusion.SERIES),
    ],
)
@pytest.mark.parametrize("ending", [".bval", ".bvals"])
def test_b_values_tell(values, kind, ending, tmp_path):
    image = tmp_path / "sub-01_dwi.nii.gz"
    if values is not None:
        (tmp_path / f"sub-01_dwi{ending}").write_text(values)
    assert diffusion_of(image) is kind


def test_inherited_b_values_count_where_there_are_none_beside(tmp_path):
    inherited = tmp_path / "dwi.bval"
    inherited.write_text("0 1000")
    image = tmp_path / "sub-01_dwi.nii"
    assert diffusion_of(image, inherited) is Diffusion.SERIES
    (tmp_path / "sub-01_dwi.bval").write_text("1000")
    assert diffusion_of(image, inherited) is Diffusion.IMAGE


def test_b_values_that_cannot_be_read_are_a_series(tmp_path):
    (tmp_path / "a.bval").mkdir()
    assert diffusion_of(tmp_path / "a.nii") is Diffusion.SERIES
