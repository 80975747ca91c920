"""The real DICOM series beside the project, and one that is made up."""

from pathlib import Path

import numpy as np
import pytest

from tests.factories import rotation

DICOM = Path(__file__).resolve().parents[3] / "shared" / "data" / "dicom"
NAMES = ("canon-dti-classic", "siemens-dwi-enhanced", "ge-ct-tilted")
MODALITIES = dict(zip(NAMES, ("dwi", "dwi", "ct"), strict=True))

needs_dicom = pytest.mark.skipif(not DICOM.is_dir(), reason="no DICOM series beside the project")


def zipped(name):
    return DICOM / f"{name}.zip"


def made_series(folder):
    """Write an oblique T1w of 12 files into a new folder; gives its voxels and its affine (RAS)."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    folder.mkdir()
    turn = rotation((10, 5, 20))
    rows, columns, across = turn[:, 0], turn[:, 1], turn[:, 2]
    first, gap_mm, size_mm = np.array([-20.0, -30.0, 15.0]), 3.0, (0.9, 1.1)  # row and column
    voxels = np.random.default_rng(5).integers(0, 900, (12, 40, 32), dtype=np.uint16)
    study, series, frame = (generate_uid(entropy_srcs=[word]) for word in ("a", "b", "c"))
    for number, image in enumerate(voxels):
        one = Dataset()
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = MRImageStorage
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = generate_uid()
        one.PatientName, one.PatientID, one.Modality = "Doe", "77", "MR"
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, frame
        one.SeriesNumber, one.InstanceNumber, one.SeriesDescription = 4, number + 1, "t1_mprage"
        one.StudyDate, one.StudyTime, one.Manufacturer = "20200102", "101112", "None"
        one.Rows, one.Columns = image.shape
        one.PixelSpacing, one.SliceThickness = list(size_mm), gap_mm
        one.ImageOrientationPatient = [round(float(part), 9) for part in (*rows, *columns)]
        one.ImagePositionPatient = [float(part) for part in first + number * gap_mm * across]
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit = 16, 12, 11
        one.PixelRepresentation, one.PixelData = 0, image.tobytes()
        one.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    lps = np.eye(4)
    lps[:3, :3] = np.column_stack([rows * size_mm[1], columns * size_mm[0], across * gap_mm])
    lps[:3, 3] = first
    return voxels.transpose(2, 1, 0), np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps
