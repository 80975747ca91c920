"""Where a comparison of groups goes: a table, a page, a record, and the map; all or none."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from strokeseg._version import __version__
from strokeseg.errors import StrokesegError
from strokeseg.evaluation.statistics import SEED
from strokeseg.evaluation.tables import cell
from strokeseg.files.atomic import write_atomically, write_text
from strokeseg.files.json_files import write_json
from strokeseg.files.staging import Staging
from strokeseg.files.tables import table
from strokeseg.groups.comparing import GroupComparison
from strokeseg.groups.figure import draw_groups
from strokeseg.groups.measures import VOLUME, read_measures
from strokeseg.groups.ranks import rank_residuals
from strokeseg.groups.symptom_map import (
    LEAST_SHARE,
    PEAK_COLUMNS,
    PERMUTATIONS,
    VOXEL_MM,
    SymptomMap,
    map_symptom,
    read_damage,
)
from strokeseg.groups.tables import INTERVALS, comparison_table
from strokeseg.images.header import space_from_affine
from strokeseg.images.reading import Volume
from strokeseg.images.writing import write
from strokeseg.results.archive import find_filed_cases
from strokeseg.space.mni import MNI_CODE

TABLE_NAME = "compare.tsv"
PAGE_NAME = "compare.png"
RECORD_NAME = "compare.json"
MAP_NAME = "symptom_t.nii.gz"
PEAKS_NAME = "symptom_peaks.tsv"
NAMES = (TABLE_NAME, PAGE_NAME, MAP_NAME, PEAKS_NAME, RECORD_NAME)


def map_of(
    comparison: GroupComparison, output: Path, *, volume: bool = True
) -> tuple[SymptomMap | None, str]:
    """Make the lesion-symptom map of a comparison, or say why there is none.

    Parameters
    ----------
    comparison
        Of two groups, or a column of numbers.
    output
        The cohort.
    volume
        Whether the lesion's volume is regressed out, too.
    """
    cases = comparison.cases
    if len(cases.groups) > 2:
        return None, "it compares two groups, or a column of numbers"
    volumes = read_measures(output).cases
    names = [name for name in cases.names if np.isfinite(volumes[name][VOLUME])]
    there = np.isin(cases.names, names)
    design = cases.design[there]
    if volume:
        ranked = rank_residuals(
            np.array([volumes[name][VOLUME] for name in names]), np.empty((len(names), 0))
        )
        design = np.c_[design, ranked]
    try:
        filed = [case for case in find_filed_cases(output) if case.name in set(names)]
        damage, left_out = read_damage(filed)
        found = map_symptom(
            damage,
            dict(zip(names, cases.outcome[there].tolist(), strict=True)),
            dict(zip(names, design, strict=True)),
            left_out,
        )
    except StrokesegError as error:
        return None, str(error)
    return found, ""


def save_comparison(
    comparison: GroupComparison,
    symptom_map: SymptomMap | None,
    directory: Path,
    sources: Mapping[str, Any],
) -> tuple[Path, ...]:
    """Write table, page, record and, where there is one, the map with its peaks.

    Raises
    ------
    CannotCreateError, ReadWriteError
        The folder cannot be written in, or writing failed half-way.
    """
    with Staging(directory, last=RECORD_NAME) as staging:
        write_text(staging.path_for(TABLE_NAME), comparison_table(comparison))
        page = draw_groups(comparison, symptom_map)
        write_atomically(staging.path_for(PAGE_NAME), [page])
        if symptom_map is not None:
            header = space_from_affine(symptom_map.grid.affine, MNI_CODE)
            like = Volume(symptom_map.t, symptom_map.grid, header)
            write(staging.path_for(MAP_NAME), symptom_map.t, like)
            write_text(staging.path_for(PEAKS_NAME), peak_table(symptom_map))
        write_json(staging.path_for(RECORD_NAME), _record(comparison, symptom_map, sources))
        return staging.commit()


def peak_table(symptom_map: SymptomMap) -> str:
    """Return a row per cluster beyond the threshold; else one of the strongest voxel."""
    rows = [
        (
            *(f"{value:.0f}" for value in peak.place_mm),
            *(cell(peak.t), cell(peak.p_fwe), "yes" if peak.significant else "no"),
            *(f"{peak.cluster_ml:.3f}", str(peak.damaged), str(symptom_map.cases)),
        )
        for peak in symptom_map.peaks
    ]
    return table(PEAK_COLUMNS, rows)


def _record(
    comparison: GroupComparison, symptom_map: SymptomMap | None, sources: Mapping[str, Any]
) -> dict[str, Any]:
    content: dict[str, Any] = {
        "strokeseg": __version__,
        **sources,
        "column": comparison.column,
        "covariates": list(comparison.covariates),
        "groups": list(comparison.cases.groups),
        "test": comparison.test,
        "correction": f"Holm over {len(comparison.tested)} measures",
        "intervals": INTERVALS,
        "seed": SEED,
        "cases": list(comparison.cases.names),
        "left_out": dict(comparison.cases.left_out),
        "warnings": list(comparison.cases.doubts),
    }
    if symptom_map is not None:
        content["symptom_map"] = {
            "space": "MNI152",
            "voxel_size_mm": VOXEL_MM,
            "least_share": LEAST_SHARE,
            "permutations": PERMUTATIONS,
            "threshold_t": symptom_map.threshold,
            "voxels": symptom_map.voxels,
            "cases": symptom_map.cases,
            "left_out": dict(symptom_map.left_out),
        }
    return content
