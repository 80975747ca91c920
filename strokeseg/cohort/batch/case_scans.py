"""The scans of one case as they are read: DICOM and series made to scans, runs averaged."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from strokeseg.cohort.cases.case import Case
from strokeseg.errors import DataError
from strokeseg.images.arrival import arrived
from strokeseg.images.modalities import choose_reference, order_modalities
from strokeseg.images.reading import Volume, read_scan
from strokeseg.images.run_average import average_runs
from strokeseg.prediction.options import Options


def read_case(case: Case, options: Options, *, whole: bool) -> Mapping[str, Volume | Path]:
    """Read the scans of a case; one that cannot be used stays a path, where it can be left out.

    The prediction tries it once more, and tells why it was left out.

    Parameters
    ----------
    case : Case
        The case.
    options : Options
        Of the prediction.
    whole : bool
        Whether all scans are read now; else those alone that are made of several runs.
    """
    reference = choose_reference(order_modalities(case.images), options.reference)
    found: dict[str, Volume | Path] = {}
    for name, path in case.images.items():
        if not whole and name not in case.runs:
            found[name] = path
            continue
        try:
            scan = read_scan(arrived(name, path, b_value=options.b_value))
            found[name] = _averaged(case, name, scan, options)
        except DataError:
            if options.strict or name == reference:
                raise
            found[name] = path
    return found


def _averaged(case: Case, name: str, first: Volume, options: Options) -> Volume:
    """Give the mean of a scan's runs; of one that cannot be used, say that it was left out."""
    others, bad = [], 0
    for path in case.runs.get(name, ()):
        try:
            others.append(read_scan(arrived(name, path, b_value=options.b_value)))
        except DataError:
            if options.strict:
                raise
            bad += 1
    scan = average_runs(first, others) if others else first
    if not bad:
        return scan
    told = (
        f"{bad} of its {len(case.runs[name]) + 1} runs cannot be used, and "
        f"{'was' if bad == 1 else 'were'} left out"
    )
    return replace(scan, warnings=(*scan.warnings, told))
