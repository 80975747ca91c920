"""A planted effect is found, none is not, covariates and missing values go where they should."""

from dataclasses import replace

import numpy as np
import pytest

from strokeseg.errors import DataError
from strokeseg.groups import comparing
from strokeseg.groups.comparing import compare_groups
from strokeseg.groups.measures import read_measures
from strokeseg.groups.participants import is_numeric, read_participants
from strokeseg.groups.ranks import group_test, holm
from strokeseg.groups.tables import COLUMNS, comparison_table, shown_rows
from tests.groups.made_cohorts import made_values, write_cohort


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr("strokeseg.groups.ranks.RESAMPLES", 500)


def of(comparison):
    return {one.measure: one for one in comparison.tested}


def test_a_planted_effect_is_found_with_its_size(tmp_path):
    output, people = write_cohort(tmp_path, made_values())
    found = compare_groups(output, people, "group")
    volume = of(found)["lesion_volume_ml"]
    assert volume.p_holm < 0.001
    # Phi(1.5 / sqrt 2) = 0.856 is what was planted.
    assert volume.area.low < 0.856 < volume.area.high
    assert volume.counts == (20, 20)
    assert volume.medians[0].high < volume.medians[1].low
    assert of(found)["lesion_count"].p_holm > 0.05
    assert tuple(of(found)) == (
        *("lesion_volume_ml", "lesion_count", "GM_ml", "CSF_ml", "brain_ml"),
    )


def test_without_an_effect_a_twentieth_of_shuffles_is_found():
    rows = made_values(effect=0.0)
    measures = ("lesion_volume_ml", "lesion_count", "GM_ml", "CSF_ml")
    values = np.array([[float(row[name]) for row in rows] for name in measures])
    rng = np.random.default_rng(11)
    single, family = [], []
    for _ in range(200):
        order = rng.permutation(40)
        p = [group_test([each[order[:20]], each[order[20:]]])[1] for each in values]
        single.append(p)
        family.append(min(holm(p)))
    # Of 200, a rate of 5 % lies in 2 to 9 % with 98 % certainty.
    rate = (np.array(single) < 0.05).mean(axis=0)
    assert ((rate >= 0.015) & (rate <= 0.09)).all(), rate
    assert np.mean(np.array(family) < 0.05) <= 0.09


def test_numbers_are_correlated_and_covariates_taken_out(tmp_path):
    output, people = write_cohort(tmp_path, made_values())
    found = compare_groups(output, people, "score", ("age", "sex", "brain_volume_ml"))
    assert found.test == comparing.SPEARMAN
    assert of(found)["lesion_volume_ml"].rho.value > 0.8
    assert "brain_ml" not in of(found)
    assert found.cases.design.shape == (40, 3)


def test_three_groups_are_compared_by_kruskal(tmp_path):
    rows = made_values()
    for index, row in enumerate(rows):
        row["group"] += "c" if index < 10 else ""
    output, people = write_cohort(tmp_path, rows)
    found = compare_groups(output, people, "group")
    assert found.test == comparing.KRUSKAL
    assert found.cases.groups == ("a", "ac", "b", "bc")
    assert of(found)["lesion_volume_ml"].counts == (15, 5, 15, 5)
    assert np.isnan(of(found)["lesion_volume_ml"].area.value)


def test_cases_without_a_row_or_a_value_are_left_out_and_named(tmp_path):
    rows = made_values()
    rows[0]["group"], rows[1]["age"] = "n/a", ""
    output, people = write_cohort(tmp_path, rows)
    lines = people.read_text().splitlines()
    people.write_text("\n".join(lines[:-1]) + "\n")
    found = compare_groups(output, people, "group", ("age",))
    assert len(found.cases.names) == 37
    assert set(found.cases.left_out) == {"sub-00", "sub-01", "sub-39"}
    assert found.cases.left_out["sub-01"] == "age: missing"


def test_a_measure_that_few_have_is_not_tested_and_parts_are(tmp_path):
    rows = made_values()
    for index, row in enumerate(rows):
        row["core_ml"] = row["lesion_volume_ml"]
        row["rim_ml"] = "3" if index < 3 else "n/a"
        row |= {"interval_low_ml": "1", "interval_high_ml": row["lesion_volume_ml"]}
    output, people = write_cohort(tmp_path, rows)
    found = of(compare_groups(output, people, "group"))
    assert found["core_ml"].p == found["lesion_volume_ml"].p
    assert "rim_ml" not in found
    ends = {"volume_low_ml", "interval_low_ml", "interval_high_ml"}
    assert not ends & set(found)


def test_rows_are_found_by_case_participant_and_session(tmp_path):
    table = tmp_path / "people.csv"
    table.write_text("participant_id,session_id,x\n01,1,a\nsub-01,ses-2,b\n02,n/a,c\nodd,,d\n")
    people = read_participants(table)
    for case, expected in {
        "sub-01_ses-1": "a",
        "sub-01_ses-2_run-1": "b",
        "sub-02_ses-9": "c",
        "odd": "d",
    }.items():
        assert people.row_of(case)["x"] == expected
    assert people.row_of("sub-01_ses-3") is None
    table.write_text("case,x\nsub-01_ses-1,a\n")
    assert read_participants(table).row_of("sub-01_ses-1")["x"] == "a"
    assert read_participants(table).row_of("sub-01") is None


@pytest.mark.parametrize(
    ("header", "twice"),
    [
        ("participant_id\tage\tage", "age"),
        ("participant_id\tparticipant_id\tage", "participant_id"),
        ("case\tcase\tage", "case"),
    ],
)
def test_a_column_that_is_there_twice_is_not_guessed_at(tmp_path, header, twice):
    table = tmp_path / "people.tsv"
    table.write_text(f"{header}\nsub-01\t1\t2\n")
    with pytest.raises(DataError, match=f"more than one column {twice}; keep one"):
        read_participants(table).check("age")


def test_columns_that_nobody_asks_for_may_share_a_name(tmp_path):
    table = tmp_path / "people.csv"
    table.write_text("participant_id,age,note,note,,\n01,70,a,b,,\n")
    people = read_participants(table)
    people.check("age")
    assert people.row_of("sub-01")["age"] == "70"


def test_sessions_of_one_person_are_doubted(tmp_path):
    rows = made_values()
    for index, row in enumerate(rows):
        row["case"] = f"sub-{index // 2 * 2 + index % 2:02}_ses-1"
    rows[2]["case"] = "sub-00_ses-2"
    output, people = write_cohort(tmp_path, rows)
    people.write_text(people.read_text().replace("participant_id", "case"))
    (doubt,) = compare_groups(output, people, "group").cases.doubts
    assert "sub-00" in doubt


@pytest.mark.parametrize(
    ("cells", "numeric"),
    [(["1", "2"] * 4, False), ([str(n) for n in range(6)], True), ([*"abcdef", "1"], False)],
)
def test_numbers_of_a_few_kinds_name_groups(cells, numeric):
    assert is_numeric(cells) is numeric


def test_tables_have_a_row_per_group_and_one_with_the_test(tmp_path):
    output, people = write_cohort(tmp_path, made_values())
    found = compare_groups(output, people, "group")
    lines = [line.split("\t") for line in comparison_table(found).splitlines()]
    assert lines[0] == list(COLUMNS)
    rows = [dict(zip(COLUMNS, line, strict=True)) for line in lines[1:]]
    assert [row["group"] for row in rows[:3]] == ["a", "b", "all"]
    assert rows[2]["contrast"] == "b over a"
    assert float(rows[2]["cliffs_delta"]) == pytest.approx(2 * float(rows[2]["auroc"]) - 1)
    columns, cells = shown_rows(found)
    assert columns == ["measure", "AUROC, delta", "p, Holm", "a", "b"]
    assert len(cells) == 5


def test_a_covariate_of_too_many_kinds_and_too_few_cases_are_refused(tmp_path):
    output, people = write_cohort(tmp_path, made_values(number=7))
    measured, known = read_measures(output), read_participants(people)
    rows = {key: {**row, "name": f"x{key}"} for key, row in known.rows.items()}
    named = replace(known, rows=rows, columns=(*known.columns, "name"))
    with pytest.raises(DataError, match="neither a number nor a few kinds"):
        comparing.choose_cases(measured, named, "group", ["name"])
    with pytest.raises(DataError, match="cannot be a covariate"):
        comparing.choose_cases(measured, known, "group", ["group"])
    wide = ("age", "sex", "score", "brain_volume_ml")
    with pytest.raises(DataError, match="too few for these covariates"):
        comparing.choose_cases(measured, known, "group", wide)
