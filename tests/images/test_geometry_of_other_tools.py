"""Scans with the headers that other tools write: masks lie where the scan lies, in every reader.

Each case is a header as one tool is known to write it: its two affines (None where the code is 0),
their codes, and what goes with them. nibabel, and strokeseg with it, goes by the sform where its
code is above 0, else by the qform, else by voxel sizes alone; ITK goes by what the case says. A
result keeps qform, sform, their codes and the voxel sizes, so that a reader treats mask and scan
alike, whichever it prefers.
"""

import gzip
from dataclasses import dataclass
from itertools import product

import nibabel as nib
import numpy as np
import pytest

from strokeseg import LoadedModel, Options, predict
from strokeseg.errors import DataError
from strokeseg.images.reading import read_scan
from strokeseg.images.writing import write
from strokeseg.models.folder import read_model_folder
from tests.factories import Kind, affine_of
from tests.tiny_models import tiny_files, write_files

sitk = pytest.importorskip("SimpleITK")

SHAPE = (44, 40, 36)
SIZE_MM = (1.6, 1.8, 2.2)
BLOB_MM = np.array([14.0, -3.0, 16.0])
RADIUS_MM = 6.0
PLACE_FIELDS = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x"),
    *("qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)


def axes(codes, tilt=(0.0, 0.0, 0.0), size_mm=SIZE_MM):
    """The affine of a stored orientation, perhaps oblique."""
    return affine_of(Kind(codes, size_mm, SHAPE, tilt))


RAS, LAS, LPS, RPS, LIA = (axes(codes) for codes in ("RAS", "LAS", "LPS", "RPS", "LIA"))
OBLIQUE = axes("LAS", (9.0, -6.0, 4.0))
SAGITTAL = axes("PSR", (-5.0, 3.0, 8.0))
TURNED = axes("LAS", (0.0, 0.0, 12.0))
SHEARED = RAS @ np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
MOVED = OBLIQUE.copy()
MOVED[:3, 3] += (20, -10, 5)


def by_size_alone(shape=SHAPE, size_mm=SIZE_MM):
    """What nibabel makes of voxel sizes alone: LAS, the middle of the image at the origin."""
    affine = np.diag([-size_mm[0], size_mm[1], size_mm[2], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


@dataclass(frozen=True)
class Habit:
    """How a tool writes a header.

    `itk` is what ITK (SimpleITK, ITK-SNAP, ANTs, 3D Slicer) goes by: the ``sform``, the ``qform``,
    ``either`` where the two are one, ``neither`` where there is none, or it ``cannot read`` the
    scan, as its format or its shear is not for ITK. `pixdim0` is qfac as stored, where that is not
    the qform's own.
    """

    sform: np.ndarray | None
    qform: np.ndarray | None
    codes: tuple[int, int] = (1, 1)  # qform, sform
    itk: str = "either"
    dtype: type = np.int16
    suffix: str = ".nii.gz"
    scaling: tuple[float, float] = (1.0, 0.0)
    units: int = 10
    pixdim0: float | None = None
    axes: int = 3
    version: int = 1
    order: str = "<"
    description: bytes = b""

    @property
    def used(self):
        """The affine that strokeseg goes by, as nibabel does."""
        if self.sform is not None:
            return self.sform
        return self.qform if self.qform is not None else by_size_alone()


HABITS = {
    "fsl-radiological": Habit(LAS, LAS, scaling=(0.5, -32.0), description=b"FSL5.0"),
    "fsl-standard-space": Habit(LAS, LAS, (4, 4), dtype=np.float32, description=b"FSL6.0"),
    "fsl-neurological": Habit(RAS, RAS, description=b"FSL6.0"),
    "freesurfer-conform": Habit(LIA, LIA, dtype=np.uint8),
    "freesurfer-conform-mgz": Habit(LIA, LIA, itk="cannot read", dtype=np.uint8, suffix=".mgz"),
    "spm-qform-only": Habit(None, LAS, (2, 0), itk="qform", suffix=".nii"),
    "spm-aligned": Habit(OBLIQUE, OBLIQUE, (2, 2), suffix=".nii"),
    "spm-pair": Habit(OBLIQUE, OBLIQUE, (2, 2), suffix=".img"),
    "spm-reoriented": Habit(TURNED, LAS, (2, 2), itk="qform", suffix=".nii"),
    "spm-normalised": Habit(LAS, MOVED, (2, 4), itk="qform", suffix=".nii", dtype=np.float32),
    "itk-both": Habit(LPS, LPS),
    "itk-oblique": Habit(OBLIQUE, OBLIQUE, (1, 2)),
    "itk-sform-only-1": Habit(LPS, None, (0, 1), itk="sform"),
    "itk-sform-only-2": Habit(OBLIQUE, None, (0, 2), itk="sform"),
    "mricron": Habit(LAS, None, (0, 1), itk="sform", units=0, axes=4, suffix=".nii"),
    "mricron-template": Habit(RAS, RAS, (4, 4), dtype=np.uint8, units=2),
    "dcm2niix-axial": Habit(OBLIQUE, OBLIQUE, description=b"TE=90;Time=101112.130"),
    "dcm2niix-sagittal": Habit(SAGITTAL, SAGITTAL, description=b"TE=2.9;Time=101112.130"),
    "afni-talairach": Habit(RAS, RAS, (3, 3), dtype=np.float32),
    "nifti-2": Habit(OBLIQUE, OBLIQUE, itk="cannot read", version=2),
    "negative-determinant": Habit(RPS, RPS),
    "qfac-minus-one": Habit(None, RPS, (1, 0), itk="qform"),
    "qfac-four": Habit(None, RAS, (1, 0), itk="qform", pixdim0=4.0),
    "qfac-zero": Habit(None, RAS, (1, 0), itk="qform", pixdim0=0.0),
    "no-codes": Habit(None, None, (0, 0), itk="neither"),
    "no-codes-pair": Habit(None, None, (0, 0), itk="neither", suffix=".img"),
    "other-directions": Habit(RAS, LAS, itk="sform"),
    "other-place": Habit(OBLIQUE, MOVED, itk="sform"),
    "sheared": Habit(SHEARED, None, (0, 1), itk="cannot read"),
    "sheared-with-qform": Habit(SHEARED, RAS, (1, 2), itk="qform"),
    "units-unknown": Habit(OBLIQUE, OBLIQUE, units=0),
    "one-volume-4d": Habit(OBLIQUE, OBLIQUE, axes=4),
    "one-volume-5d": Habit(OBLIQUE, OBLIQUE, axes=5),
    "big-endian": Habit(OBLIQUE, OBLIQUE, order=">"),
}
# Conflicts that a user is told of.
TOLD = {
    "spm-reoriented": "place the scan up to",
    "spm-normalised": "place the scan up to",
    "no-codes": "neither sform nor qform",
    "no-codes-pair": "neither sform nor qform",
    "other-directions": "give the axes other directions",
    "other-place": "place the scan up to 22.9 mm apart",
    "sheared": "are not the affine's",
    "sheared-with-qform": "place the scan up to",
}


def brightness(affine):
    """A dim head with one bright ball at `BLOB_MM`, on the voxels of an affine."""
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    ball = np.linalg.norm(points - BLOB_MM, axis=-1) <= RADIUS_MM
    return np.where(ball, 200.0, 20.0 + 2.0 * np.sin(points.sum(axis=-1) / 5))


def header_of(habit):
    """The header, its fields set one by one as the tool leaves them."""
    kind = nib.Nifti2Header if habit.version == 2 else nib.Nifti1Header
    header = kind(endianness=habit.order)
    header.set_data_dtype(np.dtype(habit.dtype).newbyteorder(habit.order))
    header.set_data_shape(SHAPE + (1,) * (habit.axes - 3))
    header["pixdim"][1:4] = SIZE_MM
    for name, affine in (("sform", habit.sform), ("qform", habit.qform)):
        if affine is not None:
            getattr(header, f"set_{name}")(affine, code=1)
    header["qform_code"], header["sform_code"] = habit.codes
    header["xyzt_units"], header["descrip"] = habit.units, habit.description
    if habit.pixdim0 is not None:
        header["pixdim"][0] = habit.pixdim0
    header["scl_slope"], header["scl_inter"] = habit.scaling
    return header


def scan(folder, name):
    """Write the case's scan; give the file that is named to strokeseg."""
    habit = HABITS[name]
    slope, inter = habit.scaling
    stored = np.rint((brightness(habit.used) - inter) / slope).astype(habit.dtype)
    path = folder / f"sub-01_T1w{habit.suffix}"
    if habit.suffix == ".mgz":
        nib.save(nib.MGHImage(stored, habit.used), path)
        return path
    header = header_of(habit)
    voxels = stored.astype(header.get_data_dtype()).tobytes(order="F")
    if habit.suffix == ".img":
        header["magic"], header["vox_offset"] = header.pair_magic, 0
        path.with_suffix(".hdr").write_bytes(header.binaryblock)
        path.write_bytes(voxels)
        return path
    header["magic"], header["vox_offset"] = header.single_magic, header.single_vox_offset
    content = header.binaryblock + bytes(4) + voxels
    path.write_bytes(content if habit.suffix == ".nii" else gzip.compress(content))
    return path


HALF_WAY = 10.0  # of the ball's brightness, once normalised


class BrightVoxels:
    """A stand-in for a network: what is far brighter than the rest is lesion."""

    name, device, precision, classes = "bright-voxels", "cpu", "fp32", 2

    def logits(self, patch, out=None):
        found = np.stack([HALF_WAY - patch, patch - HALF_WAY]).astype(np.float32)
        if out is None:
            return found
        out[...] = found
        return out

    def release(self):
        pass


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    own = {"voxel_size_mm": 1.5, "window": 48, "normalisation": "zscore"}
    folder = write_files(tmp_path_factory.mktemp("model"), tiny_files(own, out_channels=2))
    files = read_model_folder(folder, name="bright-voxels")
    return LoadedModel(files, BrightVoxels())


def test_the_table_has_the_orientations_and_conflicts_that_it_names():
    assert nib.aff2axcodes(SAGITTAL) == tuple("PSR")
    assert np.linalg.det(RPS[:3, :3]) < 0 < np.linalg.det(RAS[:3, :3])
    assert set(TOLD) <= set(HABITS)


@pytest.mark.parametrize("name", HABITS)
def test_a_result_keeps_the_forms_the_codes_and_the_sizes(name, tmp_path):
    path = scan(tmp_path, name)
    volume = read_scan(path)
    out = tmp_path / "out.nii.gz"
    write(out, volume.data > 100, like=volume)
    given, kept = nib.load(path), nib.load(out)
    np.testing.assert_allclose(volume.grid.affine, HABITS[name].used, atol=1e-3)
    np.testing.assert_allclose(kept.affine, given.affine, atol=1e-4)
    assert kept.shape == SHAPE
    if HABITS[name].suffix == ".mgz":
        assert (int(kept.header["qform_code"]), int(kept.header["sform_code"])) == (1, 1)
        return
    for field in PLACE_FIELDS:
        np.testing.assert_allclose(kept.header[field], given.header[field], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(kept.header["pixdim"][1:4], np.float32(SIZE_MM))


@pytest.mark.parametrize("name", HABITS)
def test_the_user_is_told_of_conflicts_and_of_nothing_else(name, tmp_path):
    warnings = " ".join(read_scan(scan(tmp_path, name)).warnings)
    assert TOLD.get(name, "") in warnings
    assert bool(warnings) == (name in TOLD)


def places(image):
    """Where ITK puts the corners and one more voxel, in RAS mm."""
    more = (0,) * (image.GetDimension() - 3)
    ends = [(0, edge - 1) for edge in SHAPE]
    voxels = [*product(*ends), (5, 7, 11)]
    points = [image.TransformIndexToPhysicalPoint(voxel + more)[:3] for voxel in voxels]
    return np.array(points) * (-1, -1, 1), np.array(voxels)


@pytest.mark.parametrize("name", HABITS)
def test_simpleitk_puts_mask_and_scan_in_one_place(name, tmp_path):
    habit = HABITS[name]
    path = scan(tmp_path, name)
    volume = read_scan(path)
    out = tmp_path / "out.nii.gz"
    write(out, volume.data > 100, like=volume)
    if habit.itk == "cannot read":
        with pytest.raises(RuntimeError):
            sitk.ReadImage(str(path))
        if name == "sheared":  # no header without its shear would be true
            with pytest.raises(RuntimeError, match="orthonormal"):
                sitk.ReadImage(str(out))
            return
        mask, voxels = places(sitk.ReadImage(str(out)))
    else:
        given, _ = places(sitk.ReadImage(str(path)))
        mask, voxels = places(sitk.ReadImage(str(out)))
        np.testing.assert_allclose(mask, given, atol=1e-4)
    if habit.itk != "neither":
        affine = habit.qform if habit.itk == "qform" else habit.sform
        np.testing.assert_allclose(mask, voxels @ affine[:3, :3].T + affine[:3, 3], atol=1e-3)
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(out))).transpose(2, 1, 0)
    np.testing.assert_array_equal(array, volume.data > 100)


def centre_mm(path):
    """Where nibabel puts the middle of what is bright."""
    image = nib.load(path)
    data = np.asarray(image.dataobj).reshape(SHAPE)
    return (
        image.affine[:3, :3] @ np.argwhere(data > data.max() / 2).mean(axis=0)
        + (image.affine[:3, 3])
    )


def itk_centre_mm(path):
    """Where ITK puts the middle of what is bright, in LPS mm."""
    image = sitk.ReadImage(str(path))
    data = sitk.GetArrayFromImage(image).reshape(SHAPE[::-1])
    middle = np.argwhere(data > data.max() / 2).mean(axis=0)[::-1].tolist()
    more = [0.0] * (image.GetDimension() - 3)
    return image.TransformContinuousIndexToPhysicalPoint(middle + more)[:3]


@pytest.mark.parametrize("name", HABITS)
def test_what_is_bright_is_found_where_it_is(name, model, tmp_path):
    """A ball at a known place in the world, through the whole chain, in files and in tables."""
    path = scan(tmp_path, name)
    before = path.read_bytes()
    options = Options(tta=False, threshold=0.5, min_volume_ml=0.0)
    result = predict({"t1": path}, model=model, options=options)
    files = result.save(tmp_path / "out", kinds=("mask", "probability", "lesions"))
    mask, probability = (
        next(file for file in files if file.name.endswith(f"_{kind}.nii.gz"))
        for kind in ("mask", "probseg")
    )
    assert path.read_bytes() == before
    half_voxel = max(SIZE_MM) / 2
    for file in (mask, probability, path):
        assert np.linalg.norm(centre_mm(file) - BLOB_MM) < half_voxel, file.name
    (lesion,) = result.lesions
    assert np.linalg.norm(np.array(lesion.centroid_mm) - BLOB_MM) < half_voxel
    ball_ml = 4 / 3 * np.pi * RADIUS_MM**3 / 1000
    assert result.volume_ml == pytest.approx(ball_ml, rel=0.25)
    if HABITS[name].itk != "cannot read":
        apart = np.subtract(itk_centre_mm(mask), itk_centre_mm(path))
        assert np.linalg.norm(apart) < half_voxel


def test_two_scans_of_other_tools_meet_in_the_world(model, tmp_path):
    """A FLAIR as dcm2niix stores it adds to a T1w as FSL stores it, voxel for voxel."""
    t1 = scan(tmp_path, "fsl-radiological")
    (tmp_path / "flair").mkdir()
    flair = scan(tmp_path / "flair", "dcm2niix-sagittal")
    options = Options(tta=False, threshold=0.5, min_volume_ml=0.0)
    result = predict({"t1": t1, "flair": flair}, model=model, options=options)
    (lesion,) = result.lesions
    assert np.linalg.norm(np.array(lesion.centroid_mm) - BLOB_MM) < max(SIZE_MM) / 2


def test_simpleitk_and_nibabel_agree_on_a_scan_that_simpleitk_wrote(model, tmp_path):
    image = sitk.GetImageFromArray(
        np.rint(brightness(OBLIQUE)).astype(np.int16).transpose(2, 1, 0).copy()
    )
    steps = np.linalg.norm(OBLIQUE[:3, :3], axis=0)
    lps = np.diag([-1.0, -1.0, 1.0])
    image.SetSpacing(steps.tolist())
    image.SetDirection((lps @ OBLIQUE[:3, :3] / steps).ravel().tolist())
    image.SetOrigin((lps @ OBLIQUE[:3, 3]).tolist())
    path = tmp_path / "sub-01_T1w.nii.gz"
    sitk.WriteImage(image, str(path))
    options = Options(tta=False, threshold=0.5, min_volume_ml=0.0)
    result = predict({"t1": path}, model=model, options=options)
    mask = result.save(tmp_path / "out", kinds=("mask",))[0]
    written = sitk.ReadImage(str(mask))
    assert written.GetSize() == image.GetSize()
    np.testing.assert_allclose(written.GetOrigin(), image.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(written.GetDirection(), image.GetDirection(), atol=1e-6)
    np.testing.assert_allclose(written.GetSpacing(), image.GetSpacing(), atol=1e-6)
    assert np.linalg.norm(centre_mm(mask) - BLOB_MM) < max(SIZE_MM) / 2


def test_a_qfac_that_readers_take_two_ways_is_refused(tmp_path):
    path = scan(tmp_path, "qfac-minus-one")
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[76:80] = np.float32(-2).tobytes()
    path.write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match=r"qfac \(pixdim\[0\]\) is -2"):
        read_scan(path)


@pytest.mark.parametrize("unit", [1, 3])
def test_units_of_metres_and_microns_are_refused_and_not_guessed(unit, tmp_path):
    path = scan(tmp_path, "dcm2niix-axial")
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[123] = unit | 8
    path.write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match="unit of length"):
        read_scan(path)


def test_analyze_is_refused_for_it_tells_no_left_from_right(tmp_path):
    path = tmp_path / "scan.img"
    nib.save(nib.AnalyzeImage(np.zeros(SHAPE, np.int16), RAS), path)
    with pytest.raises(DataError, match=r"Analyze 7\.5, which does not record orientation"):
        read_scan(path)
