"""Input that cannot be segmented: one line that names the file, and the exit code."""

import gzip
import tracemalloc
import zlib

import nibabel as nib
import numpy as np
import pytest

from strokeseg.errors import DataError, InputNotFoundError, ReadWriteError, StrokesegError
from strokeseg.images.reading import read_map, read_scan
from tests.factories import KINDS, Kind, affine_of, head, scan_file, scan_image

RAS = KINDS["ras"]


def refusal(source, exit_code=65):
    with pytest.raises(StrokesegError) as caught:
        read_scan(source)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == exit_code
    if not isinstance(source, tuple):
        assert str(source) in message
    return message


def patched(tmp_path, changes, name="scan.nii", kind=RAS):
    """A scan whose header fields were changed behind nibabel's back."""
    path = tmp_path / "whole.nii"
    nib.save(scan_image(kind), path)
    content = path.read_bytes()
    path.unlink()
    header = nib.Nifti1Header(content[:348], check=False)
    for field, value in changes.items():
        header[field] = value
    content = header.binaryblock + content[348:]
    out = tmp_path / name
    out.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return out


def saved(tmp_path, data, affine=None):
    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(data, affine_of(RAS) if affine is None else affine), path)
    return path


def test_missing_file(tmp_path):
    assert "no such file" in refusal(tmp_path / "none.nii.gz", 66)
    (tmp_path / "file").touch()
    assert "no such file" in refusal(tmp_path / "file" / "below.nii", 66)


def test_a_name_that_no_file_can_have(tmp_path):
    assert "cannot be reached" in refusal(tmp_path / ("x" * 5000), 66)


def test_directory(tmp_path):
    message = refusal(tmp_path, 66)
    assert "is a folder" in message
    assert "strokeseg convert" in message


def test_device():
    with pytest.raises(InputNotFoundError, match="not a regular file"):
        read_scan("/dev/null")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = scan_file(tmp_path)

    def refused(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("strokeseg.images.stream._is_gzip", refused)
    assert "permission denied" in refusal(path, 66)


def test_a_disk_that_fails(tmp_path, monkeypatch):
    path = scan_file(tmp_path)

    def fails(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("strokeseg.images.stream._is_gzip", fails)
    with pytest.raises(ReadWriteError, match="Input/output error") as caught:
        read_scan(path)
    assert caught.value.exit_code == 74


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.99])
def test_truncated_gz(tmp_path, kept):
    path = scan_file(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert "cut short" in refusal(path)


def test_gz_cut_within_its_header(tmp_path):
    path = scan_file(tmp_path)
    path.write_bytes(path.read_bytes()[:30])
    assert "cut short or damaged" in refusal(path)


def test_gz_without_its_last_bytes(tmp_path):
    path = scan_file(tmp_path)
    path.write_bytes(path.read_bytes()[:-6])
    assert "cut short or damaged" in refusal(path)


def test_gz_with_a_flipped_byte(tmp_path):
    path = scan_file(tmp_path)
    content = bytearray(path.read_bytes())
    content[-8] ^= 0xFF
    path.write_bytes(content)
    assert "damaged" in refusal(path)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.txt", "scan.mgz"])
def test_not_nifti(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"this is no image " * 100)
    assert "is not a NIfTI or MGH image" in refusal(path)


def test_empty_file(tmp_path):
    (tmp_path / "scan.nii").touch()
    assert "is empty" in refusal(tmp_path / "scan.nii")


def test_dicom(tmp_path):
    (tmp_path / "scan.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 1000)
    assert "is DICOM; convert" in refusal(tmp_path / "scan.dcm")


def test_analyze(tmp_path):
    image = nib.AnalyzeImage(np.asarray(scan_image(RAS).dataobj), None)
    nib.save(image, tmp_path / "scan.img")
    assert "Analyze 7.5, which does not record orientation" in refusal(tmp_path / "scan.img")


def test_two_dimensions(tmp_path):
    path = saved(tmp_path, np.zeros((64, 64), dtype=np.int16))
    assert "has 2 axes, shape (64, 64)" in refusal(path)


def test_many_volumes(tmp_path):
    path = tmp_path / "scan.nii.gz"
    nib.save(scan_image(Kind(volumes=5)), path)
    message = refusal(path)
    assert "holds 5 volumes (0 to 4), shape (40, 48, 36, 5)" in message
    assert f"volume 0 with `fslroi {path} volume.nii.gz 0 1`" in message


def test_a_vector_image_is_many_volumes(tmp_path):
    path = saved(tmp_path, np.zeros((40, 40, 40, 1, 3), dtype=np.float32))
    assert "holds 3 volumes" in refusal(path)


def test_rgb(tmp_path):
    rgb = np.zeros((40, 40, 40), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert "is an RGB picture" in refusal(saved(tmp_path, rgb))


def test_complex(tmp_path):
    path = saved(tmp_path, np.zeros((40, 40, 40), dtype=np.complex64))
    assert "has complex voxels; give the magnitude" in refusal(path)


def test_arrays_of_text_are_refused():
    assert "real numbers are needed" in refusal((np.full((40, 40, 40), "a"), np.eye(4)))


@pytest.mark.parametrize("value", [0, 17])
def test_all_constant(tmp_path, value):
    path = saved(tmp_path, np.full((40, 40, 40), value, dtype=np.int16))
    assert f"all voxels have the value {value}" in refusal(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_all_nan(tmp_path, value):
    path = saved(tmp_path, np.full((40, 40, 40), value, dtype=np.float32))
    assert "no finite voxel" in refusal(path)


def test_constant_but_for_nan(tmp_path):
    data = np.full((40, 40, 40), 3.0, dtype=np.float32)
    data[0] = np.nan
    told = refusal(saved(tmp_path, data))
    assert "all voxels but 1600 voxels, not finite or beyond 1e+15, have the value 3" in told


def test_a_scan_that_is_scaled_beyond_what_can_be_used_is_not_called_constant(tmp_path):
    data = head(RAS)[0].astype(np.float64) * 1e30
    assert "(all are NaN, infinite or beyond 1e+15)" in refusal(saved(tmp_path, data))
    data[:20] = 0
    told = refusal(saved(tmp_path, data))
    assert "voxels, not finite or beyond 1e+15, have the value 0" in told


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_some_nan_and_inf_become_the_smallest_value(tmp_path, dtype):
    data = head(RAS)[0].astype(dtype) - 50
    data[0, 0, :3] = np.nan, np.inf, -np.inf
    volume = read_scan(saved(tmp_path, data))
    assert (volume.data[0, 0, :3] == volume.data.min()).all()
    assert volume.data.min() == pytest.approx(data[np.isfinite(data)].min())
    assert volume.warnings[0].startswith("3 voxels are NaN or infinite: set to the smallest")


def test_values_beyond_float32_count_as_infinite(tmp_path):
    data = head(RAS)[0].astype(np.float64)
    data[0, 0, 0] = 1e300
    volume = read_scan(saved(tmp_path, data))
    assert volume.warnings[0].startswith("1 voxel is NaN or infinite")
    assert volume.data[0, 0, 0] == volume.data.min()


def test_singular_affine(tmp_path):
    path = patched(tmp_path, {"srow_z": (0, 0, 0, 5)})
    assert "singular" in refusal(path)
    path = patched(tmp_path, {"srow_z": (1.5, 0, 0, 5), "srow_x": (1.5, 0, 0, 5)})
    assert "singular" in refusal(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_infinite_affine(tmp_path, value):
    path = patched(tmp_path, {"srow_x": (1.5, 0, 0, value)})
    assert "NaN or infinite entries" in refusal(path)
    message = refusal((head(RAS)[0], np.full((4, 4), value)))
    assert "array: its affine cannot be used: it has NaN or infinite" in message


def test_an_affine_of_another_shape():
    assert "its shape is (3, 3)" in refusal((head(RAS)[0], np.eye(3)))
    assert "no array of numbers" in refusal((head(RAS)[0], [["a"]]))


@pytest.mark.parametrize("value", [0, -1.5, np.nan, np.inf])
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_zero_and_negative_zooms(tmp_path, value, name):
    path = patched(tmp_path, {"pixdim": (1, 1.5, value, 1.5, 0, 0, 0, 0)}, name)
    message = refusal(path)
    assert f"voxel sizes are 1.5 x {value:g} x 1.5 mm" in message
    assert "must be above 0" in message


def test_qform_that_is_no_rotation(tmp_path):
    path = patched(tmp_path, {"sform_code": 0, "quatern_b": 0.9, "quatern_c": 0.9})
    assert "qform is no rotation" in refusal(path)


def test_missing_qfac_is_one(tmp_path):
    path = patched(tmp_path, {"sform_code": 0, "pixdim": (0, 1.5, 1.5, 1.5, 0, 0, 0, 0)})
    np.testing.assert_allclose(read_scan(path).grid.affine, affine_of(RAS), atol=1e-4)


@pytest.mark.parametrize("dim", [(0, 40, 48, 36, 1, 1, 1, 1), (9, 40, 48, 36, 1, 1, 1, 1)])
def test_impossible_number_of_axes(tmp_path, dim):
    assert f"claims {dim[0]} axes" in refusal(patched(tmp_path, {"dim": dim}))


@pytest.mark.parametrize("size", [0, -40])
def test_impossible_size(tmp_path, size):
    path = patched(tmp_path, {"dim": (3, 40, size, 36, 1, 1, 1, 1)})
    assert f"its shape (40, {size}, 36) is not positive" in refusal(path)


@pytest.mark.parametrize("offset", [3, 360.5, -352, np.nan])
def test_impossible_start_of_the_voxels(tmp_path, offset):
    assert "voxels start at byte" in refusal(patched(tmp_path, {"vox_offset": offset}))


def test_no_start_of_the_voxels_is_right_behind_the_header(tmp_path):
    volume = read_scan(patched(tmp_path, {"vox_offset": 0}))
    np.testing.assert_array_equal(volume.data, np.rint(head(RAS)[0]))


def test_unknown_voxel_type(tmp_path):
    assert "unknown voxel type 77" in refusal(patched(tmp_path, {"datatype": 77}))


def test_slope_without_intercept(tmp_path):
    path = patched(tmp_path, {"scl_slope": 2, "scl_inter": np.nan})
    assert "its header is damaged" in refusal(path)


@pytest.mark.parametrize(("code", "unit"), [(1, "the metre"), (3, "the micrometre")])
def test_units_other_than_mm(tmp_path, code, unit):
    message = refusal(patched(tmp_path, {"xyzt_units": code | 8}))
    assert f"its unit of length is {unit} (xyzt_units {code})" in message
    assert "set xyzt_units to 2" in message


def test_small_field_of_view(tmp_path):
    path = tmp_path / "scan.nii.gz"
    nib.save(scan_image(Kind("RAS", (1.0, 1.0, 1.0), (60, 60, 31))), path)
    message = refusal(path)
    assert "its field of view is 60 x 60 x 31 mm; at least 32 mm are needed" in message
    nib.save(scan_image(Kind("RAS", (1.0, 1.0, 1.0), (60, 60, 32))), path)
    assert read_scan(path).grid.field_of_view_mm == (60, 60, 32)


def test_enormous_field_of_view(tmp_path):
    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(head(RAS)[0], np.diag([100.0, 100.0, 100.0, 1.0])), path)
    assert "4000 x 4800 x 3600 mm; over 1000 mm is no head" in refusal(path)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_more_voxels_claimed_than_the_file_has(tmp_path, name):
    path = patched(tmp_path, {"dim": (3, 400, 480, 360, 1, 1, 1, 1)}, name)
    tracemalloc.start()
    try:
        message = refusal(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "its header claims 69120000 voxels (138240352 bytes), the file holds" in message
    assert peak < 20_000_000, "the file was refused before room was made for its voxels"


def test_one_voxel_too_few_in_a_gz(tmp_path):
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(gzip.compress(gzip.decompress(scan_file(tmp_path).read_bytes())[:-2]))
    assert "claims 69120 voxels (138592 bytes), the file holds 138590 bytes" in refusal(path)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_more_voxels_claimed_than_fit_into_memory(tmp_path, name, monkeypatch):
    path = patched(
        tmp_path,
        {
            "dim": (3, 30000, 30000, 30000, 1, 1, 1, 1),
            "pixdim": (1, 0.02, 0.02, 0.02, 0, 0, 0, 0),
            "srow_x": (0.02, 0, 0, 0),
            "srow_y": (0, 0.02, 0, 0),
            "srow_z": (0, 0, 0.02, 0),
        },
        name,
    )
    message = refusal(path)
    assert "30000 x 30000 x 30000 voxels, which take 162000.0 GB of memory" in message
    monkeypatch.setattr("strokeseg.images.checks.available_memory_bytes", lambda: 400_000)
    assert "0.0 GB are free" in refusal(scan_file(tmp_path))
    monkeypatch.setattr("strokeseg.images.checks.available_memory_bytes", lambda: None)
    assert "the file holds" in refusal(path)


def test_a_gzip_bomb_is_not_unpacked(tmp_path):
    """A quarter of a gigabyte of zeros behind the voxels is left alone."""
    content = gzip.decompress(scan_file(tmp_path).read_bytes())
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    packed = packer.compress(content)
    for _ in range(16):
        packed += packer.compress(bytes(1 << 24))
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(packed + packer.flush())
    tracemalloc.start()
    try:
        volume = read_scan(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(volume.data, np.rint(head(RAS)[0]))
    assert peak < 20_000_000


def test_unknown_mgh_type(tmp_path):
    image = nib.MGHImage(np.asarray(scan_image(RAS).dataobj), affine_of(RAS))
    path = tmp_path / "scan.mgz"
    nib.save(image, path)
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[20:24] = b"\0\0\0\x63"
    path.write_bytes(gzip.compress(content))
    assert "unknown voxel type 99" in refusal(path)
    path.write_bytes(gzip.compress(content[:100]))
    assert "ends within its MGH header" in refusal(path)


def test_an_mgh_without_orientation_is_warned_of(tmp_path):
    image = nib.MGHImage(np.asarray(scan_image(RAS).dataobj), affine_of(RAS))
    path = tmp_path / "scan.mgh"
    nib.save(image, path)
    content = bytearray(path.read_bytes())
    content[28:30] = b"\0\0"
    path.write_bytes(content)
    volume = read_scan(path)
    assert volume.warnings == (
        "the MGH header records no orientation: FreeSurfer's default, LIA, is taken",
    )
    assert volume.grid.axcodes == ("L", "I", "A")


def test_a_nibabel_image_is_checked_too(tmp_path):
    path = scan_file(tmp_path)
    image = nib.load(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(StrokesegError, match="voxels cannot be read") as caught:
        read_scan(image)
    assert caught.value.exit_code == 65
    small = scan_image(Kind("RAS", (1.0, 1.0, 1.0), (60, 60, 31)))
    with pytest.raises(StrokesegError, match="nibabel image: its field of view"):
        read_scan(small)


def test_large_voxels_are_warned_of(tmp_path):
    path = tmp_path / "scan.nii.gz"
    nib.save(scan_image(Kind("RAS", (1.0, 1.0, 6.0), (60, 60, 20))), path)
    (warning,) = read_scan(path).warnings
    assert "voxels are up to 6 mm long (over 5 mm)" in warning
    nib.save(scan_image(Kind("RAS", (1.0, 1.0, 5.0), (60, 60, 20))), path)
    assert read_scan(path).warnings == ()


def test_a_mask_is_warned_of(tmp_path):
    (warning,) = read_scan(saved(tmp_path, (head(RAS)[0] > 300).astype(np.uint8))).warnings
    assert "two values only (0 and 1): it looks like a mask" in warning


@pytest.mark.parametrize("value", [0.0, 40.0])
def test_an_almost_constant_image_is_warned_of(tmp_path, value):
    data = np.full(RAS.shape, value, dtype=np.float32)
    data[20, 20, :20] = np.arange(20)
    (warning,) = read_scan(saved(tmp_path, data)).warnings
    assert f"of the voxels have the value {value:g}: hardly anything is shown" in warning
    data[:2] = np.random.default_rng(0).random((2, *RAS.shape[1:]))
    assert read_scan(saved(tmp_path, data)).warnings == ()


@pytest.mark.parametrize("value", [0, 1])
def test_a_mask_may_be_of_one_value_where_no_scan_is_asked_for(tmp_path, value):
    path = saved(tmp_path, np.full(RAS.shape, value, dtype=np.uint8))
    with pytest.raises(DataError, match="it shows nothing"):
        read_scan(path)
    volume = read_map(path)
    assert (volume.data == value).all()
    assert volume.warnings == ()
