import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from strokeseg.evaluation.mask_names import stem_of
from strokeseg.files.checksums import sha256
from strokeseg.images.file_names import (
    image_stem,
    is_header_name,
    is_image_name,
    other_half_names,
    without_ending,
)
from strokeseg.images.listing import list_images
from strokeseg.images.reading import read_scan
from strokeseg.results.archive import is_reference, reference_places
from strokeseg.results.output_names import prefix_of
from strokeseg.results.record import InputRecord, Record
from tests.factories import KINDS, head, scan_image

# Every ending that the reader takes; of a pair the two halves each.
ENDINGS = (
    *(".nii", ".nii.gz", ".mgh", ".mgz", ".mgh.gz", ".mgz.gz"),
    *(".img", ".img.gz", ".hdr", ".hdr.gz"),
)


def write_scan(folder, ending):
    """Write a scan under a name of this ending, with its other half where it has one."""
    image = scan_image(KINDS["ras"])
    path = folder / f"sub-01_T1w{ending}"
    if ending.startswith(".mg"):
        plain = folder / "plain.mgh"
        nib.save(nib.MGHImage(np.asarray(image.dataobj), image.affine), plain)
        content = plain.read_bytes()
        plain.unlink()
        path.write_bytes(content if ending == ".mgh" else gzip.compress(content))
    elif ending.startswith((".img", ".hdr")):
        pair = nib.Nifti1Pair(np.asarray(image.dataobj), image.affine, image.header)
        nib.save(pair, path.with_name(path.name.replace(".hdr", ".img")))
    else:
        nib.save(image, path)
    return path


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_scan_of_every_ending_is_read_named_listed_and_found_again(tmp_path, ending):
    path = write_scan(tmp_path, ending)
    np.testing.assert_array_equal(read_scan(path).data, np.rint(head(KINDS["ras"])[0]))
    assert prefix_of(path) == "sub-01"
    assert is_image_name(path.name)
    assert image_stem(path.name) == without_ending(path.name) == "sub-01_T1w"
    assert stem_of(path) == (None if ending.startswith(".hdr") else "sub-01_T1w")
    assert list_images(tmp_path) == [path.name.replace(".hdr", ".img")]
    entry = InputRecord(path=str(path), sha256=sha256(path))
    record = Record(reference="t1", inputs={"t1": entry})
    assert reference_places(record, ()) == [path]
    assert is_reference(path, record)


@pytest.mark.parametrize("ending", ENDINGS)
def test_case_does_not_matter(ending):
    assert image_stem(f"A.b{ending.upper()}") == "A.b"


@pytest.mark.parametrize("name", ["a.json", "a.nii.gz.part", "a", "nii", "a.gz", "a.niigz"])
def test_other_names_are_those_of_no_image(name):
    assert not is_image_name(name)
    assert image_stem(name) is None
    assert without_ending(name) == name
    assert other_half_names(name) == ()


def test_the_halves_of_a_pair_know_each_other():
    assert other_half_names("a.b.img") == ("a.b.hdr", "a.b.hdr.gz")
    assert other_half_names("a.HDR.gz") == ("a.IMG.gz", "a.IMG")
    assert other_half_names("a.nii") == ()
    assert [is_header_name(name) for name in ("a.hdr", "a.HDR.gz", "a.img")] == [True, True, False]


def test_a_header_is_listed_where_its_voxels_are_not(tmp_path):
    for name in ("a.hdr", "b.hdr", "b.img.gz", "C.HDR", "C.IMG"):
        (tmp_path / name).touch()
    assert list_images(tmp_path) == ["C.IMG", "a.hdr", "b.img.gz"]


def test_a_name_that_is_an_ending_alone_is_no_case():
    assert stem_of(Path(".nii.gz")) is None
    assert prefix_of(Path(".nii.gz")) == "image"
