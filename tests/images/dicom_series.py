"""The real DICOM series beside the project."""

from pathlib import Path

import pytest

DICOM = Path(__file__).resolve().parents[3] / "shared" / "data" / "dicom"
NAMES = ("canon-dti-classic", "siemens-dwi-enhanced", "ge-ct-tilted")
MODALITIES = dict(zip(NAMES, ("dwi", "dwi", "ct"), strict=True))

needs_dicom = pytest.mark.skipif(not DICOM.is_dir(), reason="no DICOM series beside the project")


def zipped(name):
    return DICOM / f"{name}.zip"
