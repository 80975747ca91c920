"""Whether a scan that was read is what it is said to be, by its intensities."""

from dataclasses import replace

import numpy as np

from strokeseg.images.hounsfield import check_hounsfield, seems_ct
from strokeseg.images.outliers import range_warnings
from strokeseg.images.reading import Volume


def suited(modality: str, scan: Volume) -> Volume:
    """Give a scan as it is to be used, with a warning for each thing that is doubtful about it.

    Parameters
    ----------
    modality : str
        What it is said to be, one of `MODALITIES` or another name.
    scan : Volume
        As `strokeseg.images.reading.read_scan` gives it.

    Returns
    -------
    Volume
        The same, but for a CT with an offset, which is taken off.

    Raises
    ------
    DataError
        If it is said to be a CT and is not in Hounsfield units.
    """
    if modality != "ct":
        told = range_warnings(scan.data)
        if seems_ct(scan.data):
            told = [f"looks like a CT in Hounsfield units, not like {modality}: give it as --ct"]
        return replace(scan, warnings=(*scan.warnings, *told)) if told else scan
    offset, told = check_hounsfield(str(scan.path or "array"), scan.data)
    data = scan.data - np.float32(offset) if offset else scan.data
    return replace(scan, data=data, warnings=(*scan.warnings, *told))
