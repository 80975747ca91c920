"""Finished cases for tests, written by hand: a scan, its volumes, tables, picture and record."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from strokeseg.files.checksums import sha256
from strokeseg.images.reading import read_scan
from strokeseg.images.writing import write
from strokeseg.measure.lesions import find_lesions
from strokeseg.results.case_tables import lesion_table, tissue_table
from strokeseg.results.output_names import KINDS as ALL_KINDS
from strokeseg.results.output_names import OutputNames
from strokeseg.results.picture import draw
from tests.factories import KINDS, Kind, affine_of, scan_image

CLASSES = ("background", "GM", "WM", "lesion")
MODEL = {
    "name": "tiny",
    "revision": None,
    "sha256": "ab" * 32,
    "engine": "openvino",
    "device": "cpu",
    "precision": "fp32",
}
# The head of tests/factories.py has its middle here; both are on the patient's right of it.
MIDDLE_MM = (3.0, -12.0, 7.0)
LARGE = ((12.0, -18.0, 12.0), 6.0)
SMALL = ((-9.0, -8.0, 2.0), 3.5)


def write_scan(path, kind="ras"):
    """Write the factories' head to a path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(scan_image(KINDS[kind]), path)
    return path


def balls(kind, lesions):
    """A mask of balls, each given by centre and radius in mm."""
    affine = affine_of(kind)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in kind.shape), indexing="ij"), axis=-1)
    places = index @ affine[:3, :3].T + affine[:3, 3]
    mask = np.zeros(kind.shape, dtype=bool)
    for centre, radius in lesions:
        mask |= np.linalg.norm(places - centre, axis=-1) <= radius
    return mask


def file_case(output, name, *, lesions=(LARGE, SMALL), kind="ras", kinds=ALL_KINDS, **changes):
    """Write a finished case below `output`; `changes` go into its record. Gives its record's path.

    The scan lies beside the output folder, at ``scans/NAME_FLAIR.nii.gz``.
    """
    folder = output / name
    folder.mkdir(parents=True, exist_ok=True)
    scan = read_scan(write_scan(output.parent / "scans" / f"{name}_FLAIR.nii.gz", kind))
    shape: Kind = KINDS[kind]
    mask = balls(shape, lesions)
    probability = np.where(mask, np.float32(0.8), np.float32(0.1)).astype(np.float32)
    tissue = (scan.data > 150).astype(np.uint8) + (scan.data > 250)
    tissue[mask] = len(CLASSES) - 1
    rows = find_lesions(mask, probability, scan.grid, midline_mm=MIDDLE_MM[0])
    names = OutputNames.for_prefix(folder, name)
    if "mask" in kinds:
        write(names.mask, mask, scan)
    if "probability" in kinds:
        write(names.probability, probability, scan)
    if "tissue" in kinds:
        write(names.tissue, tissue, scan)
        names.tissue_table.write_text(
            tissue_table(CLASSES, np.bincount(tissue.ravel(), minlength=len(CLASSES)) / 1000)
        )
    if "lesions" in kinds:
        names.lesions.write_text(lesion_table(rows))
    if "qc" in kinds:
        names.qc.write_bytes(draw(scan.data, mask, scan.grid, name, ""))
    volume = float(mask.sum()) * scan.grid.voxel_volume_ml
    record = {
        "schema": 1,
        "strokeseg": "0.1.0",
        "case": name,
        "inputs": {
            "flair": {
                "path": str(scan.path),
                "sha256": sha256(scan.path),
                "shape": list(shape.shape),
                "voxel_size_mm": list(shape.voxel_size_mm),
                "orientation": shape.axcodes,
            }
        },
        "models": [MODEL],
        "options": {"tta": True, "threshold": None},
        "rule": {"threshold": 0.5, "min_volume_ml": 0.0},
        "flips": 8,
        "lesion_volume_ml": volume,
        "lesion_volume_range_ml": [0.5 * volume, 1.5 * volume],
        "lesion_volume_interval_ml": [0.25 * volume, 2.5 * volume],
        "lesion_count": len(rows),
        "tissue_volumes_ml": dict.fromkeys(CLASSES, 1.0),
        "brain_volume_ml": 1200.0,
        "peak_memory_bytes": 6e8,
        "reference": "flair",
        "warnings": [],
        "seconds": {"read": 0.1, "segment flair": 2.0},
        "kinds": sorted(kinds),
    }
    files = [path for path in sorted(folder.iterdir()) if path != names.record]
    record["files"] = {path.name: sha256(path) for path in files}
    names.record.write_text(json.dumps(record | changes))
    return names.record


def file_rich_case(output):
    """A case of two scans on two grids, with uncertainty and a truth; gives all but the first."""
    record = file_case(output, "sub-01")
    other = write_scan(output.parent / "scans" / "sub-01_T1w.nii.gz", "anisotropic")
    scan = read_scan(output.parent / "scans" / "sub-01_FLAIR.nii.gz")
    truth = output.parent / "truth.nii.gz"
    write(truth, balls(KINDS["ras"], (LARGE,)), scan)
    entropy = np.where(balls(KINDS["ras"], (LARGE,)), np.float32(1.2), np.float32(0.0))
    uncertainty = OutputNames.for_prefix(record.parent, "sub-01").uncertainty
    write(uncertainty, (entropy, np.zeros_like(entropy)), scan)
    content = json.loads(record.read_text())
    content["inputs"]["t1"] = {"path": str(other), "sha256": sha256(other)}
    content["files"][uncertainty.name] = sha256(uncertainty)
    record.write_text(json.dumps(content | {"truth": str(truth)}))
    return record, other, truth


def file_error(output, name, message="sub-bad_T1w.nii.gz: is cut: 120 of 4000 bytes", **changes):
    """Write the error file of a case that failed."""
    folder = output / name
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "schema": 1,
        "strokeseg": "0.1.0",
        "case": name,
        "exception": "DataError",
        "message": message,
        "exit_code": 65,
        "inputs": {"t1": f"/data/{name}_T1w.nii.gz"},
        "time": "2025-06-01T08:00:00+00:00",
    }
    path = folder / f"{Path(name).name}_error.json"
    path.write_text(json.dumps(content | changes))
    return path


def centre_of(mask, affine):
    """Mean place of a mask's voxels in mm."""
    return affine[:3, :3] @ np.argwhere(mask).mean(axis=0) + affine[:3, 3]
