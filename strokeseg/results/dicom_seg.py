"""DICOM out: a mask as DICOM SEG, which names the series that it was found in.

It carries what the source says of patient and study, as a viewer or archive needs it.
"""

import warnings
import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from strokeseg._version import __version__
from strokeseg.arrays import BoolArray
from strokeseg.errors import DataError, EngineError
from strokeseg.files.atomic import write_atomically
from strokeseg.images.dicom import is_dicom
from strokeseg.images.modalities import order_modalities
from strokeseg.results.output_names import RECORD_ENDING, OutputNames
from strokeseg.space.grid import Grid

if TYPE_CHECKING:
    from highdicom import Volume
    from highdicom.seg import Segmentation
    from pydicom import Dataset

# What every DICOM has to have, be it empty.
_EMPTY_IF_ABSENT = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber"),
    *("StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)
SEG_ENDING = "_seg.dcm"
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# SNOMED CT: morphologically abnormal structure; infarct.
_CATEGORY = ("49755003", "SCT", "Morphologically Abnormal Structure")
_LESION = ("55641003", "SCT", "Infarct")


def seg_path(names: OutputNames) -> Path:
    """Name the SEG of a case."""
    prefix = names.record.name.removesuffix(RECORD_ENDING)
    return names.directory / f"{prefix}{SEG_ENDING}"


def dicom_of(images: Mapping[str, Path], reference: str | None) -> Path | None:
    """Give the DICOM of a case whose grid results have; None where that scan is none."""
    order = order_modalities(images)
    path = images.get(reference or order[0], images[order[0]]) if order else None
    return path if path is not None and is_dicom(path) else None


def save_seg(
    target: Path, mask: BoolArray, grid: Grid, source: Path, models: Sequence[str | None]
) -> None:
    """Write a mask as DICOM SEG, see `write_seg`; under its name only when it is whole."""
    made = BytesIO()
    write_seg(made, mask, grid, source, [str(model) for model in models])
    write_atomically(target, [made.getvalue()])


def write_seg(
    path: Path | BytesIO, mask: BoolArray, grid: Grid, source: Path, models: Sequence[str]
) -> None:
    """Write a mask as DICOM SEG.

    Parameters
    ----------
    path : Path or BytesIO
        Where to; nothing may be there.
    mask : (I, J, K) bool array
        The lesion; it may be empty.
    grid : Grid
        Where it lies.
    source : Path
        The DICOM folder, zip or file that the reference came from.
    models : sequence of str
        Who found it.

    Raises
    ------
    DataError
        The source is no DICOM, or none of its series has a frame of reference.
    EngineError
        highdicom is not installed.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise EngineError("--save dicom needs highdicom: pip install 'strokeseg[dicom]'") from error
    with warnings.catch_warnings():
        # Both libraries quote what they find odd, such as a patient's name of one part.
        warnings.simplefilter("ignore")
        images = _source_images(source, grid)
        made = _segmentation(_volume(mask, grid, images[0]), images, models)
        made.save_as(path)


def _segmentation(
    volume: "Volume", images: "list[Dataset]", models: Sequence[str]
) -> "Segmentation":
    """Say of a mask what it shows, of which images, and who found it."""
    import highdicom as hd
    from pydicom.uid import generate_uid

    code = hd.sr.CodedConcept
    about = hd.AlgorithmIdentificationSequence(
        name=f"strokeseg {' + '.join(models)}"[:64],
        family=code("123110", "DCM", "Artificial Intelligence"),
        version=__version__,
    )
    lesion = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Stroke lesion",
        segmented_property_category=code(*_CATEGORY),
        segmented_property_type=code(*_LESION),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=about,
    )
    return hd.seg.Segmentation(
        source_images=images,
        pixel_array=volume,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[lesion],
        series_instance_uid=generate_uid(),
        series_number=9000 + int(images[0].get("SeriesNumber", 0) or 0) % 1000,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="strokeseg",
        manufacturer_model_name="strokeseg",
        software_versions=__version__,
        device_serial_number="0",
        omit_empty_frames=False,
        series_description="Stroke lesion (research)",
    )


def _source_images(source: Path, grid: Grid) -> "list[Dataset]":
    """Read the headers of the series that lies where the mask does; of many volumes, the first."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    by_series: dict[str, list[Dataset]] = {}
    for stream in _streams(source):
        try:
            header = dcmread(stream)
        except (InvalidDicomError, EOFError):
            continue
        for name in _EMPTY_IF_ABSENT:
            if name not in header:
                setattr(header, name, None)
        if "PixelData" in header and "FrameOfReferenceUID" in header:
            by_series.setdefault(str(header.SeriesInstanceUID), []).append(header)
    if not by_series:
        raise DataError(f"{source}: holds no DICOM images with a frame of reference")
    columns, rows = grid.shape[0], grid.shape[1]
    fitting = [
        images
        for images in by_series.values()
        if (int(images[0].Columns), int(images[0].Rows)) == (columns, rows)
    ]
    images = (fitting or list(by_series.values()))[0]
    if "NumberOfFrames" in images[0]:
        return [_with_shared_geometry(images[0])]
    placed: dict[tuple[float, ...], Dataset] = {}
    for image in sorted(images, key=lambda one: int(one.get("InstanceNumber", 0) or 0)):
        placed.setdefault(tuple(map(float, image.ImagePositionPatient)), image)
    return list(placed.values())


def _with_shared_geometry(image: "Dataset") -> "Dataset":
    """Give an enhanced image whose shared groups say what each of its frames says alike."""
    shared, frame = (
        image.SharedFunctionalGroupsSequence[0],
        image.PerFrameFunctionalGroupsSequence[0],
    )
    for name in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
        if name not in shared and name in frame:
            setattr(shared, name, getattr(frame, name))
    return image


def _streams(source: Path) -> "list[Path | BytesIO]":
    if source.is_dir():
        return [file for file in sorted(source.rglob("*")) if file.is_file() and is_dicom(file)]
    if not zipfile.is_zipfile(source):
        return [source]
    with zipfile.ZipFile(source) as archive:
        names = [one for one in archive.infolist() if not one.is_dir()]
        return [BytesIO(archive.read(one)) for one in names]


def _volume(mask: BoolArray, grid: Grid, image: "Dataset") -> "Volume":
    """Give a mask with slices first, then rows and columns, as the source has them."""
    import highdicom as hd

    affine = _LPS @ grid.affine @ np.eye(4)[:, [2, 1, 0, 3]]
    volume = hd.Volume(
        array=mask.transpose(2, 1, 0).astype(np.uint8),
        affine=affine,
        coordinate_system="PATIENT",
        frame_of_reference_uid=image.FrameOfReferenceUID,
    )
    orientation = _orientation(image)
    for axis, direction in ((1, orientation[3:]), (2, orientation[:3])):
        if np.dot(volume.affine[:3, axis], direction) < 0:
            volume = volume.flip_spatial(axis)
    across = np.cross(orientation[:3], orientation[3:])
    if np.dot(volume.affine[:3, 0], across) < 0:
        volume = volume.flip_spatial(0)
    return volume


def _orientation(image: "Dataset") -> list[float]:
    """Read the directions of rows and columns, of classic and of enhanced images."""
    if "ImageOrientationPatient" in image:
        return [float(value) for value in image.ImageOrientationPatient]
    plane = image.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    return [float(value) for value in plane.ImageOrientationPatient]
