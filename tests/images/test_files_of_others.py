"""Files that stand for others, names of other systems, and what follows a gzip stream."""

import gzip
import zipfile

import nibabel as nib
import numpy as np
import pytest

import strokeseg
from strokeseg.cli import run
from strokeseg.errors import DataError, InputNotFoundError, UsageError
from strokeseg.images.reading import outline, read_scan
from tests.factories import scan_file


def test_junk_after_a_whole_gzip_stream_is_passed_over_and_told(tmp_path):
    path = scan_file(tmp_path)
    whole = read_scan(path).data.copy()
    path.write_bytes(path.read_bytes() + b"junk of a download")
    volume = read_scan(path)
    np.testing.assert_array_equal(volume.data, whole)
    np.testing.assert_array_equal(nib.load(path).get_fdata(), whole)
    assert volume.warnings[0].startswith("bytes that are no gzip follow its gzip stream")


def test_zeros_and_further_streams_are_no_junk(tmp_path):
    path = scan_file(tmp_path)
    content = path.read_bytes()
    for more in (b"\0" * 100, gzip.compress(b"more")):
        path.write_bytes(content + more)
        assert read_scan(path).warnings == ()


def test_a_stream_that_is_cut_or_changed_stays_an_error(tmp_path):
    path = scan_file(tmp_path)
    content = path.read_bytes()
    for damaged in (content[:-20] + b"junk" * 9, content[:-8] + b"12345678"):
        path.write_bytes(damaged)
        with pytest.raises(DataError):
            read_scan(path)


def test_content_that_was_not_fetched_is_told(tmp_path):
    link = tmp_path / "link.nii.gz"
    link.symlink_to("../.git/annex/objects/k2/M1/MD5E-s1--a.nii.gz/MD5E-s1--a.nii.gz")
    pointer = tmp_path / "pointer.nii.gz"
    pointer.write_text("/annex/objects/MD5E-s100--aa.nii.gz\n")
    lfs = tmp_path / "lfs.nii.gz"
    lfs.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 1\n")
    for path, how in ((link, "datalad get"), (pointer, "datalad get"), (lfs, "git lfs pull")):
        with pytest.raises(InputNotFoundError, match=f"its content is not here: `{how}`"):
            outline(path)


@pytest.mark.parametrize("path", ["C:\\data\\t1.nii", "D:/t1.nii", "data\\t1.nii"])
def test_a_path_of_windows_is_told(path):
    with pytest.raises(InputNotFoundError, match="written as Windows has paths"):
        read_scan(path)


def test_a_path_of_windows_is_told_wherever_a_path_may_stand(tmp_path, capsys):
    table = tmp_path / "cases.csv"
    table.write_text("case,t1\np1,C:\\data\\t1.nii\n")
    out = str(tmp_path / "out")
    for words in (
        ["predict", "--t1", "C:\\data\\t1.nii", "-o", out],
        ["batch", "C:\\data", out],
        ["batch", str(table), out],
    ):
        assert run(words) == 66
        assert "written as Windows has paths" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("source", [None, b"a.nii", ["a.nii"], "", 3])
def test_what_is_no_scan_gives_our_error(source):
    with pytest.raises(UsageError, match="give a path, a nibabel image, or a pair"):
        read_scan(source)
    with pytest.raises(strokeseg.StrokesegError):
        outline(source)


@pytest.mark.parametrize("source", [None, b"a.nii", ["a.nii"], "", 3])
@pytest.mark.parametrize("whole", [True, False])
def test_the_api_gives_our_error_for_what_is_no_scan(source, whole):
    assert strokeseg.StrokesegError.__module__ == "strokeseg.errors"
    assert "StrokesegError" in strokeseg.__all__
    with pytest.raises(strokeseg.StrokesegError) as caught:
        strokeseg.predict(source if whole else {"t1": source})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("t1.zip", None, "is a zip that holds no DICOM"),
        ("t1.mnc", b"\x89HDF\r\n\x1a\n", "give .nii, .nii.gz, .* or DICOM"),
        ("t1.nrrd", b"x", "is no NRRD or MetaImage that can be read"),
        ("t1.mha", b"x", "is no NRRD or MetaImage that can be read"),
    ],
)
def test_what_cannot_be_read_is_named_as_what_it_is(tmp_path, name, content, what):
    pytest.importorskip("SimpleITK")
    pytest.importorskip("dcm2niix")
    path = tmp_path / name
    if content is None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(scan_file(tmp_path), "t1.nii.gz")
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=what):
        strokeseg.predict({"t1": path})


def test_an_image_as_output_is_refused(tmp_path, capsys):
    wanted = str(tmp_path / "mask.nii.gz")
    assert run(["predict", "--t1", str(scan_file(tmp_path)), "-o", wanted]) == 2
    assert f"-o {tmp_path} --prefix mask" in capsys.readouterr().err
