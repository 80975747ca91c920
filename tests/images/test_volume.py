import gzip
import threading
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from strokeseg.errors import CannotCreateError, DataError, ReadWriteError, StrokesegError
from strokeseg.files.checksums import sha256
from strokeseg.images.reading import read_scan
from strokeseg.images.writing import write
from tests.factories import KINDS, Kind, affine_of, head, scan_file, scan_image

RAS = KINDS["ras"]


def save(image, path):
    nib.save(image, path)
    return path


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_read_as_it_was_stored(tmp_path, name):
    path = scan_file(tmp_path, name)
    before = sha256(path)
    volume = read_scan(path)
    data, affine = head(KINDS[name])
    np.testing.assert_array_equal(volume.data, np.rint(data))
    assert volume.data.dtype == np.float32
    assert volume.grid.shape == KINDS[name].shape
    np.testing.assert_allclose(volume.grid.affine, affine, atol=1e-4)
    assert volume.warnings == ()
    assert volume.path == path
    assert sha256(path) == before


@pytest.mark.parametrize(
    "suffix", [".nii", ".nii.gz", ".img", ".hdr", ".img.gz", ".mgz", ".mgh", ".NII"]
)
def test_formats_hold_the_same_scan(tmp_path, suffix):
    image = scan_image(KINDS["oblique"])
    path = tmp_path / f"scan{suffix}"
    if suffix in (".mgz", ".mgh"):
        image = nib.MGHImage(np.asarray(image.dataobj), image.affine)
    elif suffix in (".img", ".hdr", ".img.gz"):
        image = nib.Nifti1Pair(np.asarray(image.dataobj), image.affine, image.header)
    if suffix == ".NII":
        save(image, tmp_path / "scan.nii").rename(path)
    else:
        nib.save(image, path.with_suffix(".img") if suffix == ".hdr" else path)
    volume = read_scan(path)
    np.testing.assert_array_equal(volume.data, np.rint(head(KINDS["oblique"])[0]))
    np.testing.assert_allclose(volume.grid.affine, image.affine, atol=1e-4)


def test_nifti_2_is_read(tmp_path):
    image = scan_image(RAS)
    path = save(nib.Nifti2Image(np.asarray(image.dataobj), image.affine), tmp_path / "scan.nii.gz")
    volume = read_scan(path)
    np.testing.assert_array_equal(volume.data, np.rint(head(RAS)[0]))
    assert (volume.header.sform_code, volume.header.qform_code) == (2, 0)


def test_big_endian_is_read(tmp_path):
    image = nib.Nifti1Image(
        np.asarray(scan_image(RAS).dataobj).astype(">i2"),
        affine_of(RAS),
        nib.Nifti1Header(endianness=">"),
    )
    path = save(image, tmp_path / "scan.nii")
    assert path.read_bytes()[:4] == b"\0\0\x01\x5c"
    np.testing.assert_array_equal(read_scan(path).data, np.rint(head(RAS)[0]))


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64, np.int64]
)
def test_stored_types_become_float32(tmp_path, dtype):
    stored = np.rint(head(RAS)[0] / 4).astype(dtype)
    image = nib.Nifti1Image(stored, affine_of(RAS), dtype=dtype)
    volume = read_scan(save(image, tmp_path / "scan.nii.gz"))
    assert volume.data.dtype == np.float32
    np.testing.assert_array_equal(volume.data, stored.astype(np.float32))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".img"])
def test_slope_and_intercept_are_applied(tmp_path, suffix):
    path = tmp_path / f"scan{suffix}"
    data = np.rint(head(RAS)[0]) * 0.5 - 100
    kind = nib.Nifti1Pair if suffix == ".img" else nib.Nifti1Image
    image = kind(data, affine_of(RAS), dtype=np.int16)
    nib.save(image, path)
    stored = nib.load(path)
    assert stored.dataobj.slope != 1.0
    assert stored.dataobj.inter != 0.0
    np.testing.assert_allclose(read_scan(path).data, stored.get_fdata(), atol=1e-3)
    np.testing.assert_allclose(read_scan(path).data, data, atol=0.01)


def test_sform_goes_before_qform_and_qform_before_nothing(tmp_path):
    sform, qform = affine_of(Kind("RAS")), affine_of(Kind("LAS"))
    image = nib.Nifti1Image(np.asarray(scan_image(RAS).dataobj), sform)
    image.set_sform(sform, code=2)
    image.set_qform(qform, code=1)
    volume = read_scan(save(image, tmp_path / "both.nii"))
    np.testing.assert_allclose(volume.grid.affine, sform, atol=1e-4)
    np.testing.assert_allclose(volume.header.sform, sform, atol=1e-4)
    np.testing.assert_allclose(volume.header.qform, qform, atol=1e-4)
    assert (volume.header.sform_code, volume.header.qform_code) == (2, 1)
    assert volume.warnings == (
        "sform and qform give the axes other directions: the sform's are used",
    )
    image.header["sform_code"] = 0
    path = tmp_path / "qform.nii"
    start = image.header.binaryblock
    path.write_bytes(start + (tmp_path / "both.nii").read_bytes()[len(start) :])
    volume = read_scan(path)
    np.testing.assert_allclose(volume.grid.affine, qform, atol=1e-4)
    assert volume.header.sform is None
    assert volume.warnings == ()


def test_without_codes_the_affine_is_nibabels_with_a_warning(tmp_path):
    image = scan_image(RAS)
    image.header["sform_code"] = image.header["qform_code"] = 0
    path = tmp_path / "scan.nii"
    path.write_bytes(image.header.binaryblock + b"\0" * 4)
    header = bytearray(save(scan_image(RAS), tmp_path / "other.nii").read_bytes())
    header[252:256] = b"\0\0\0\0"
    path.write_bytes(header)
    volume = read_scan(path)
    np.testing.assert_allclose(volume.grid.affine, nib.load(path).affine)
    assert len(volume.warnings) == 1
    assert "neither sform nor qform" in volume.warnings[0]
    write(tmp_path / "out.nii.gz", volume.data, volume)
    np.testing.assert_allclose(nib.load(tmp_path / "out.nii.gz").affine, volume.grid.affine)


def test_voxel_sizes_that_contradict_the_affine_are_named(tmp_path):
    content = bytearray(save(scan_image(RAS), tmp_path / "scan.nii").read_bytes())
    content[80:84] = np.float32(1.0).tobytes()
    (tmp_path / "scan.nii").write_bytes(content)
    volume = read_scan(tmp_path / "scan.nii")
    assert volume.grid.voxel_size_mm == pytest.approx((1.5, 1.5, 1.5))
    assert (
        "pixdim (1 x 1.5 x 1.5 mm) are not the affine's (1.5 x 1.5 x 1.5 mm)" in volume.warnings[0]
    )


def test_images_and_arrays_in_memory_are_read():
    image = scan_image(KINDS["lps"])
    data, affine = head(KINDS["lps"])
    for source in (image, (np.rint(data), affine), (np.rint(data).tolist(), affine.tolist())):
        volume = read_scan(source)
        np.testing.assert_array_equal(volume.data, np.rint(data))
        np.testing.assert_allclose(volume.grid.affine, affine, atol=1e-4)
        assert volume.path is None
        assert (volume.header.sform_code, volume.header.qform_code) == (1, 1)


def test_an_image_from_a_file_knows_its_path(tmp_path):
    path = scan_file(tmp_path, "one-volume-4d")
    volume = read_scan(nib.load(path))
    assert volume.path == path
    assert volume.data.ndim == 3


def test_an_affine_changed_in_memory_is_the_one_that_counts():
    image = scan_image(RAS)
    affine = image.affine.copy()
    affine[:3, 3] += 50
    moved = nib.Nifti1Image(image.dataobj, image.affine, image.header)
    moved._affine = affine
    np.testing.assert_allclose(read_scan(moved).grid.affine, affine)


def test_the_array_that_was_given_is_not_changed():
    data, affine = head(RAS)
    data[3, 3, 3] = np.nan
    before = data.copy()
    volume = read_scan((data, affine))
    np.testing.assert_array_equal(data, before)
    assert np.isfinite(volume.data).all()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_results_lie_on_the_grid_of_the_scan(tmp_path, name, suffix):
    volume = read_scan(scan_file(tmp_path, name))
    out = tmp_path / f"result{suffix}"
    mask = volume.data > 300
    write(out, mask, like=volume)
    image = nib.load(out)
    assert isinstance(image, nib.Nifti1Image)
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(image.dataobj), mask)
    stored = nib.load(scan_file(tmp_path, name)).header
    for field in (
        "qform_code",
        "sform_code",
        "srow_x",
        "srow_y",
        "srow_z",
        "quatern_b",
        "quatern_c",
    ):
        np.testing.assert_array_equal(image.header[field], stored[field])
    np.testing.assert_array_equal(image.header["pixdim"][:4], stored["pixdim"][:4])
    assert image.header.get_xyzt_units()[0] == "mm"
    assert read_scan(out).grid.same_as(volume.grid)


@pytest.mark.parametrize("codes", [(0, 2), (1, 0), (3, 4)])
def test_codes_are_kept(tmp_path, codes):
    image = scan_image(KINDS["oblique"])
    image.header["qform_code"], image.header["sform_code"] = codes
    content = image.header.binaryblock + save(image, tmp_path / "scan.nii").read_bytes()[348:]
    (tmp_path / "scan.nii").write_bytes(content)
    volume = read_scan(tmp_path / "scan.nii")
    write(tmp_path / "out.nii.gz", volume.data, like=volume)
    header = nib.load(tmp_path / "out.nii.gz").header
    assert (int(header["qform_code"]), int(header["sform_code"])) == codes
    np.testing.assert_allclose(nib.load(tmp_path / "out.nii.gz").affine, volume.grid.affine)


def test_a_sheared_affine_is_kept_in_the_sform(tmp_path):
    data, affine = head(RAS)
    affine[0, 1] += 0.3
    volume = read_scan((data, affine))
    write(tmp_path / "out.nii", data, like=volume)
    image = nib.load(tmp_path / "out.nii")
    np.testing.assert_allclose(image.affine, affine, atol=1e-4)
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (0, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_types_are_kept(tmp_path, dtype):
    volume = read_scan(scan_image(RAS))
    data = (volume.data / 4).astype(dtype)
    write(tmp_path / "out.nii.gz", data, like=volume)
    image = nib.load(tmp_path / "out.nii.gz")
    assert image.get_data_dtype() == dtype
    np.testing.assert_array_equal(np.asarray(image.dataobj), data)


def test_same_data_make_same_bytes_in_any_layout_and_with_any_threads(tmp_path, monkeypatch):
    kind = Kind("RAS", (1.0, 1.0, 1.0), (160, 150, 60))
    data, affine = head(kind)
    volume = read_scan((data, affine))
    write(tmp_path / "a.nii.gz", np.asfortranarray(data), like=volume)
    monkeypatch.setattr("strokeseg.images.writing.thread_count", lambda: 1)
    write(tmp_path / "b.nii.gz", np.ascontiguousarray(data), like=volume)
    first = (tmp_path / "a.nii.gz").read_bytes()
    assert first == (tmp_path / "b.nii.gz").read_bytes()
    assert first[4:8] == b"\0\0\0\0", "no time is stored"
    unpacked = gzip.decompress(first)
    assert len(unpacked) == 352 + data.size * 4
    np.testing.assert_array_equal(read_scan(tmp_path / "a.nii.gz").data, data)


def test_simpleitk_reads_results_in_the_same_place(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    volume = read_scan(scan_image(KINDS["oblique"]))
    write(tmp_path / "out.nii.gz", volume.data, like=volume)
    image = sitk.ReadImage(str(tmp_path / "out.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).transpose(2, 1, 0), volume.data)
    i, j, k = 5, 7, 11
    lps = np.array(image.TransformIndexToPhysicalPoint((i, j, k)))
    ras = (volume.grid.affine @ (i, j, k, 1))[:3]
    np.testing.assert_allclose(lps * (-1, -1, 1), ras, atol=1e-3)


def test_a_result_replaces_an_older_one_and_leaves_nothing_beside_it(tmp_path):
    volume = read_scan(scan_image(RAS))
    path = tmp_path / "out.nii.gz"
    path.write_bytes(b"old")
    write(path, volume.data, like=volume)
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.nii.gz"]
    np.testing.assert_array_equal(read_scan(path).data, volume.data)


def test_a_missing_folder_cannot_be_written_to(tmp_path):
    volume = read_scan(scan_image(RAS))
    with pytest.raises(CannotCreateError, match="cannot be created") as caught:
        write(tmp_path / "missing" / "out.nii.gz", volume.data, like=volume)
    assert caught.value.exit_code == 73


def test_a_name_of_another_format_is_refused(tmp_path):
    volume = read_scan(scan_image(RAS))
    with pytest.raises(CannotCreateError, match=r"results are NIfTI; name the file \.nii\.gz"):
        write(tmp_path / "out.mgz", volume.data, like=volume)


def test_an_array_of_another_shape_or_type_is_our_fault(tmp_path):
    volume = read_scan(scan_image(RAS))
    for data in (volume.data[1:], volume.data.astype(np.float64)):
        with pytest.raises(StrokesegError, match="this is a fault of strokeseg") as caught:
            write(tmp_path / "out.nii.gz", data, like=volume)
        assert caught.value.exit_code == 1
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def fails(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("strokeseg.files.atomic.os.fsync", fails)
    volume = read_scan(scan_image(RAS))
    with pytest.raises(ReadWriteError, match="No space left on device") as caught:
        write(tmp_path / "out.nii.gz", volume.data, like=volume)
    assert caught.value.exit_code == 74
    assert not list(tmp_path.iterdir())


def test_ctrl_c_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("strokeseg.files.atomic.os.fsync", interrupted)
    volume = read_scan(scan_image(RAS))
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out.nii.gz", volume.data, like=volume)
    assert not list(tmp_path.iterdir())


def test_two_writers_of_one_file_do_not_mix(tmp_path):
    volume = read_scan(scan_image(RAS))
    path = tmp_path / "out.nii.gz"
    contents = [np.full(RAS.shape, value, dtype=np.float32) for value in (1, 2)]
    writers = [threading.Thread(target=write, args=(path, data, volume)) for data in contents]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(np.unique(np.asarray(nib.load(path).dataobj))) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.nii.gz"]


def test_reading_leaves_the_folder_as_it_was(tmp_path):
    path = scan_file(tmp_path, "lia")
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        read_scan(path)
    finally:
        tmp_path.chmod(0o755)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_pair_without_its_other_half_is_refused(tmp_path):
    image = scan_image(RAS)
    nib.save(nib.Nifti1Pair(np.asarray(image.dataobj), image.affine), tmp_path / "scan.img")
    (tmp_path / "scan.img").unlink()
    with pytest.raises(DataError, match=r"its other half scan\.img is not beside it"):
        read_scan(tmp_path / "scan.hdr")


def test_paths_may_be_text():
    with pytest.raises(StrokesegError, match="no such file"):
        read_scan("nowhere.nii.gz")
    with pytest.raises(StrokesegError, match="no such file"):
        read_scan(Path("nowhere.nii.gz"))
