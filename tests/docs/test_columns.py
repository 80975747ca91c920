"""The glossary names every column of every table, in its order, and no other."""

import re
from dataclasses import fields

from strokeseg.cohort import collect
from strokeseg.evaluation import tables
from strokeseg.groups import participants, symptom_map
from strokeseg.groups import tables as group_tables
from strokeseg.images.modalities import MODALITIES
from strokeseg.lesion_map import mapping
from strokeseg.models.classes import CLASSES, is_tissue
from strokeseg.results.case_tables import LESION_COLUMNS, TISSUE_COLUMNS
from strokeseg.training import held_out, stage_comparison, volume_calibration
from strokeseg.training.data import real_scans
from strokeseg.training.fitting.loop import LOSS_COLUMNS
from strokeseg.training.validation.groups import COLUMNS as VALIDATION_COLUMNS
from strokeseg.training.validation.groups import TISSUE_NAMES
from tests.docs.pages import ROOT, table_columns

PAGE = ROOT / "docs" / "columns.md"
OURS = table_columns(PAGE)


def of(table):
    (title,) = [title for title in OURS if title.startswith(f"`{table}`")]
    return OURS[title]


def test_lesions():
    title = "`*_label-L_lesions.tsv`, and `lesions.tsv` of a cohort"
    assert OURS[title] == ["case", *LESION_COLUMNS]


def test_classes():
    assert of("*_dseg.tsv")[:3] == list(TISSUE_COLUMNS)


def test_cohort():
    tissues = [f"{name}_ml" for name in CLASSES if is_tissue(name)]
    expected = [*collect._BEFORE_TISSUES, *tissues, *collect._AFTER_TISSUES]
    named = [name for name in of("cohort.tsv") if name not in ("done", "failed")]
    assert named == expected


def test_evaluation():
    assert sorted(of("metrics.tsv")) == sorted(tables.CASE_COLUMNS)
    assert sorted(of("summary.tsv")) == sorted(tables.SUMMARY_COLUMNS)
    assert sorted(of("comparison.tsv")) == sorted(tables.COMPARISON_COLUMNS)


def test_lesion_map():
    assert sorted(of("overlap.tsv")) == sorted(mapping._COLUMNS)
    assert mapping.TABLE_NAME == "overlap.tsv"


def test_comparison_of_groups():
    assert of("compare.tsv") == list(group_tables.COLUMNS)
    assert of("symptom_peaks.tsv") == list(symptom_map.PEAK_COLUMNS)


def row(title):
    text = PAGE.read_text()
    (line,) = re.findall(rf"^\| {re.escape(title)} \| (.+) \|$", text, re.MULTILINE)
    return re.findall(r"`([^`]+)`", line)


def test_tables_that_a_person_gives():
    assert sorted(row("INPUT of `batch`")) == sorted(["case", "truth", "output", *MODALITIES])
    assert row("TRUTHS of `evaluate`") == ["case", "truth"]
    known = {*participants.KEYS, participants.SESSION}
    assert set(row("PARTICIPANTS of `compare`")) == known


def test_tables_of_a_training():
    assert row("`loss.tsv`") == list(LOSS_COLUMNS)
    own = [name for name in VALIDATION_COLUMNS if name not in TISSUE_NAMES]
    assert row("`validation.tsv`") == ["step", "group", "name", *own]
    volumes = [*volume_calibration.COLUMNS, *volume_calibration.DOUBT_COLUMNS]
    assert row("`volumes-*.tsv`") == volumes
    assert row("`stages.tsv`") == list(stage_comparison.SUMMARY_COLUMNS)
    assert row("`thresholds.tsv`") == list(stage_comparison.THRESHOLD_COLUMNS)
    assert row("`cases.tsv`") == [one.name for one in fields(stage_comparison.Compared)]
    assert row("`cases.tsv` of `held_out`") == [one.name for one in fields(held_out.Score)]
    assert row("`scans.tsv`") == [*real_scans.COLUMNS, "hyperintensities"]
