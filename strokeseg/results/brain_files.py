"""What `strokeseg brain` writes of a scan: the mask of its brain, the brain alone, a picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from strokeseg.arrays import BoolArray
from strokeseg.files.atomic import write_atomically
from strokeseg.files.json_files import write_json
from strokeseg.files.staging import Staging
from strokeseg.files.targets import check_outputs
from strokeseg.images.file_names import without_ending
from strokeseg.images.reading import Volume
from strokeseg.images.writing import write
from strokeseg.measure.lesions import mask_volume_ml
from strokeseg.results.output_names import UNNAMED_PREFIX, check_prefix, prefix_of
from strokeseg.results.picture import draw_brain


@dataclass(frozen=True)
class BrainNames:
    """The full path of every file; `mask_sidecar` is written last and says how it was made."""

    mask: Path
    scan: Path
    picture: Path
    mask_sidecar: Path

    @classmethod
    def of_scan(cls, directory: Path, scan: Path | None, prefix: str | None = None) -> Self:
        """Name the files of a scan.

        ``sub-01_T1w.nii.gz`` gives ``sub-01_desc-brainT1w_mask.nii.gz``, and the brain alone is
        ``sub-01_desc-brain_T1w.nii.gz``, so that scans of one person do not meet.

        Raises
        ------
        UsageError
            The prefix makes no names of files.
        """
        stem = UNNAMED_PREFIX if scan is None else without_ending(scan.name)
        start = prefix_of(scan)
        suffix = stem.removeprefix(start).lstrip("_") if stem.startswith(f"{start}_") else ""
        given = check_prefix(prefix or start)
        kind = suffix if suffix.isalnum() else ""
        return cls(
            mask=directory / f"{given}_desc-brain{kind}_mask.nii.gz",
            scan=directory / f"{given}_desc-brain_{kind or 'image'}.nii.gz",
            picture=directory / f"{given}_desc-brain{kind}_qc.png",
            mask_sidecar=directory / f"{given}_desc-brain{kind}_mask.json",
        )

    def all(self) -> tuple[Path, ...]:
        """List them, in the order in which they are written."""
        return self.mask, self.scan, self.picture, self.mask_sidecar


def save_brain(
    volume: Volume,
    mask: BoolArray,
    names: BrainNames,
    made: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Write the mask, the scan without what lies beyond it, and the picture: all or none.

    Parameters
    ----------
    volume
        The scan.
    mask : (I, J, K) bool array
        The brain, on the scan's grid.
    names
        Where to.
    made
        How it was made, for the mask's sidecar.
    overwrite
        Whether files of an earlier run may be replaced.

    Returns
    -------
    tuple of Path
        What was written.

    Raises
    ------
    CannotCreateError
        A file exists and `overwrite` is false, or the folder cannot be written in.
    ReadWriteError
        Writing fails half-way.
    """
    inputs = [] if volume.path is None else [volume.path]
    check_outputs(names.all(), inputs, overwrite=overwrite)
    volume_ml = mask_volume_ml(mask, volume.grid)
    called = UNNAMED_PREFIX if volume.path is None else volume.path.name
    sidecar = {
        "Type": "Brain",
        "Manual": False,
        "Description": "Brain, 1 inside and 0 outside",
        "Sources": [called],
        "SpatialReference": called,
        "VolumeMl": round(volume_ml, 3),
        **made,
    }
    alone = np.where(mask, volume.data, np.float32(min(0.0, float(volume.data.min()))))
    told = f"brain, {volume_ml:.0f} ml"
    picture = draw_brain(volume.data, mask, volume.grid, called, told)
    with Staging(names.mask.parent, last=names.mask_sidecar.name) as staging:
        write(staging.path_for(names.mask.name), mask, volume)
        write(staging.path_for(names.scan.name), alone.astype(np.float32), volume)
        write_atomically(staging.path_for(names.picture.name), [picture])
        write_json(staging.path_for(names.mask_sidecar.name), sidecar)
        return staging.commit()
