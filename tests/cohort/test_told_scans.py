"""Scans without an option: what they show is told by their names, or the choices are shown."""

from pathlib import Path

import pytest

from strokeseg.cohort.cases.told_scans import told_scans
from strokeseg.errors import UsageError


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a_T1w.nii.gz", "b_FLAIR.nii.gz"], ["t1", "flair"]),
        (["sub-01_dwi.nii.gz", "sub-01_adc.nii"], ["dwi", "adc"]),
        (["x/T2/image.nii.gz"], ["t2"]),
        (["scan_t2_flair.mgz"], ["flair"]),
    ],
)
def test_names_tell_the_contrast(names, told):
    paths = [Path(name) for name in names]
    assert told_scans(paths) == {name: (path,) for name, path in zip(told, paths, strict=True)}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["scan.nii.gz"], r"scan.nii.gz does not say .*--t1, --flair, .* --image NAME=scan.nii.gz"),
        (["sub-01_label-L_mask.nii.gz"], "looks like a mask"),
        (["a_T1w.nii", "b_T1w.nii"], "a_T1w.nii and b_T1w.nii both seem to be t1"),
    ],
)
def test_what_cannot_be_told_shows_the_choices(names, message):
    with pytest.raises(UsageError, match=message):
        told_scans([Path(name) for name in names])
