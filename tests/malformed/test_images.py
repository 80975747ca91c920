"""Malformed images take as much memory as they are, and no more."""

import gzip
import struct
import subprocess
import sys
import tracemalloc
import zlib

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokeseg.errors import DataError
from strokeseg.images.reading import read_scan
from strokeseg.images.writing import write
from tests.factories import KINDS, scan_image
from tests.fuzz.seeds import seeds

MEGABYTE = 1_000_000


def header_of(content, **fields):
    """A NIfTI-1 or -2 file with some header fields changed."""
    kind = nib.Nifti2Header if content[0] == 28 else nib.Nifti1Header
    size = kind.template_dtype.itemsize
    header = kind(content[:size], check=False)
    for name, value in fields.items():
        header[name] = value
    return header.binaryblock + content[size:]


def nifti1(**fields):
    return header_of(seeds("nifti1")[0], **fields)


def nifti2(**fields):
    return header_of(seeds("nifti2")[0], **fields)


def refused(path, content):
    """The message and the peak memory of a refusal."""
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            read_scan(path)
        return str(caught.value), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# 2080^3 voxels of 2 bytes.
EIGHTEEN_GB = {
    "dim": (3, 2080, 2080, 2080, 1, 1, 1, 1),
    "pixdim": (1, 0.4, 0.4, 0.4, 0, 0, 0, 0),
    "sform_code": 0,
}


def named_gzip(content):
    """A gzip file that stores its content as it is, under the name ``a``."""
    packer = zlib.compressobj(0, zlib.DEFLATED, -15)
    body = packer.compress(content) + packer.flush()
    end = struct.pack("<II", zlib.crc32(content), len(content))
    return b"\x1f\x8b\x08\x08" + bytes(4) + b"\0\xff" + b"a\0" + body + end


@pytest.mark.parametrize("packed", [True, False])
def test_a_file_of_377_bytes_that_asks_for_18_gb_is_refused(tmp_path, packed, monkeypatch):
    content = nifti1(**EIGHTEEN_GB)
    content = named_gzip(content[:352]) if packed else content[:377]
    assert len(content) == 377
    monkeypatch.setattr("strokeseg.images.checks.available_memory_bytes", lambda: None)
    path = tmp_path / ("a.nii.gz" if packed else "a.nii")
    message, peak = refused(path, content)
    assert "claims 8998912000 voxels (17997824352 bytes), the file holds 377 bytes" in message
    assert peak < MEGABYTE


def test_such_a_file_is_refused_where_a_process_may_take_little(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(named_gzip(nifti1(**EIGHTEEN_GB)[:352]))
    program = (
        "import resource, sys, strokeseg.images.reading as v\n"
        "from strokeseg.errors import DataError\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "limit = pages * resource.getpagesize() + 64 * 2**20\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "try:\n    v.read_scan(sys.argv[1])\nexcept DataError:\n    print('refused')\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert child.stdout == "refused\n"


def test_a_gzip_trailer_that_lies_costs_what_the_file_holds(tmp_path):
    """Header and trailer claim 500 MB; the stream unpacks to 4 MB, well packed."""
    content = nifti1(
        dim=(3, 630, 630, 630, 1, 1, 1, 1), pixdim=(1, 1.5, 1.5, 1.5, 0, 0, 0, 0), sform_code=0
    )
    noise = np.random.default_rng(0).integers(0, 256, 600_000).astype(np.uint8).tobytes()
    packed = bytearray(gzip.compress(content[:352] + noise + bytes(4 * MEGABYTE), 9))
    packed[-4:] = (352 + 2 * 630**3).to_bytes(4, "little")
    message, peak = refused(tmp_path / "a.nii.gz", bytes(packed))
    assert "cut short" in message
    assert peak < 25 * MEGABYTE


def test_voxels_cannot_be_said_to_start_gigabytes_later(tmp_path):
    """What would have to be unpacked before the first voxel is a bomb too."""
    for content in (nifti1(vox_offset=1e10), nifti2(vox_offset=10**10)):
        path = tmp_path / "a.nii.gz"
        path.write_bytes(gzip.compress(content))
        with pytest.raises(DataError, match="voxels start at byte 1e\\+10"):
            read_scan(path)


def test_the_first_voxel_is_never_in_the_header(tmp_path):
    """Whatever the header says of its own length."""
    path = tmp_path / "a.nii"
    path.write_bytes(nifti1(sizeof_hdr=-2000, vox_offset=-352))
    with pytest.raises(DataError, match="voxels start at byte -352"):
        read_scan(path)


@pytest.mark.parametrize("name", ["qform_code", "sform_code"])
@pytest.mark.parametrize(("make", "code"), [(nifti1, -1), (nifti2, -2), (nifti2, 70_000)])
def test_codes_that_no_header_has_are_refused(tmp_path, name, make, code):
    """The mask is NIfTI-1, whose codes are shorter; and readers take negative ones as they like."""
    path = tmp_path / "a.nii"
    path.write_bytes(make(**{name: code}))
    with pytest.raises(DataError, match=f"have the codes.*{code}"):
        read_scan(path)


@pytest.mark.parametrize("value", [2e4, -1e30])
def test_a_scan_that_lies_far_from_any_scanner_is_refused(tmp_path, value):
    path = tmp_path / "a.nii"
    path.write_bytes(nifti2(srow_x=(5, 0, 0, value)))
    with pytest.raises(DataError, match=r"it has an entry of .* mm, over 10000 mm"):
        read_scan(path)


def test_a_few_voxels_cannot_claim_a_metre(tmp_path):
    """A kilobyte whose working grid would take gigabytes."""
    path = tmp_path / "a.nii"
    path.write_bytes(nifti1(pixdim=(1, 110, 120, 140, 0, 0, 0, 0), sform_code=0))
    with pytest.raises(DataError, match="voxels are up to 140 mm long; beyond 30 mm"):
        read_scan(path)


def test_a_qform_that_cannot_be_used_is_told_of_and_kept(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(nifti2(qoffset_x=1e300))
    volume = read_scan(path)
    (told,) = [line for line in volume.warnings if "qform" in line]
    assert "the qform cannot be used" in told
    write(tmp_path / "out.nii", volume.data, like=volume)
    np.testing.assert_allclose(read_scan(tmp_path / "out.nii").grid.affine, volume.grid.affine)


def test_intensities_whose_squares_overflow_count_as_infinite():
    data = np.asarray(scan_image(KINDS["ras"], np.float32).dataobj).copy()
    data[0, 0, :2] = 1e30, -3e38
    volume = read_scan((data, np.diag([2.0, 2.0, 2.0, 1.0])))
    assert volume.warnings[0].startswith("2 voxels are NaN or infinite")
    assert np.abs(volume.data).max() < 1e4
    with pytest.raises(DataError, match="all voxels have the value"):
        read_scan((data * 0 + np.linspace(0, 1e-30, data.size).reshape(data.shape), np.eye(4)))


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_of_a_gzip_file_is_refused_or_changes_nothing(tmp_path_factory, at, bit):
    folder = tmp_path_factory.getbasetemp() / "flipped"
    folder.mkdir(exist_ok=True)
    path = folder / "a.nii.gz"
    packed = bytearray(gzip.compress(seeds("nifti1")[0], mtime=0))
    packed[at % len(packed)] ^= 1 << bit
    path.write_bytes(packed)
    expected = np.asarray(nib.Nifti1Image.from_bytes(seeds("nifti1")[0]).dataobj)
    try:
        volume = read_scan(path)
    except DataError:
        return
    np.testing.assert_array_equal(volume.data, expected)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(share=st.floats(0, 1, exclude_max=True), packed=st.booleans())
def test_a_file_cut_anywhere_is_refused(tmp_path_factory, share, packed):
    folder = tmp_path_factory.getbasetemp() / "cut"
    folder.mkdir(exist_ok=True)
    path = folder / ("a.nii.gz" if packed else "a.nii")
    whole = gzip.compress(seeds("nifti1")[0]) if packed else seeds("nifti1")[0]
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError):
        read_scan(path)
