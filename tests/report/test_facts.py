import json

import pytest

from strokeseg.report.facts import gather_facts
from strokeseg.report.wording import measures
from strokeseg.results.archive import find_filed_cases
from strokeseg.results.record import number
from tests.report.cohorts import LARGE, SMALL, file_case, file_error


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out"


def facts_of(output, place=0):
    return gather_facts(find_filed_cases(output)[place], output)


def test_a_finished_case_gives_its_figures(output):
    file_case(output, "sub-01", warnings=["mind the gap"])
    facts = facts_of(output)
    assert (facts.name, facts.key, facts.status) == ("sub-01", "sub-01/sub-01", "done")
    assert facts.volume_ml == pytest.approx(
        sum(4 / 3 * 3.1416 * r**3 for _, r in (LARGE, SMALL)) / 1000, rel=0.1
    )
    assert facts.range_ml == pytest.approx((0.5 * facts.volume_ml, 1.5 * facts.volume_ml))
    assert facts.interval_ml == pytest.approx((0.25 * facts.volume_ml, 2.5 * facts.volume_ml))
    assert facts.count == 2
    assert facts.warnings == ("mind the gap",)
    assert facts.model_names == "tiny"
    assert [lesion.hemisphere for lesion in facts.lesions] == ["right", "left"]
    assert facts.tissues[1][:2] == (1, "GM")


@pytest.mark.parametrize(
    ("lesions", "side"),
    [((LARGE,), "right"), ((SMALL,), "left"), ((LARGE, SMALL), "both"), ((), "")],
)
def test_the_side_is_where_nine_tenths_of_the_lesion_are(output, lesions, side):
    file_case(output, "sub-01", lesions=lesions)
    assert facts_of(output).side == side


def test_there_is_no_range_where_one_flip_was_run(output):
    file_case(output, "sub-01", flips=1)
    assert facts_of(output).range_ml is None


def test_a_failed_case_and_one_that_failed_again_are_told_apart(output):
    file_error(output, "sub-01")
    file_case(output, "sub-02")
    file_error(output, "sub-02")
    assert [facts_of(output, place).status for place in (0, 1)] == ["failed", "failed again"]
    assert facts_of(output, 1).volume_ml > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"lesion_volume_ml": "large", "lesion_count": None, "warnings": "none", "models": {}},
        {"lesion_volume_ml": float("nan"), "lesion_volume_range_ml": [1], "models": [1, None]},
        {"lesion_volume_ml": 10**400, "inputs": [], "tissue_volumes_ml": 3, "flips": "eight"},
    ],
)
def test_what_is_not_of_the_expected_kind_counts_as_missing(output, changes):
    file_case(output, "sub-01", **changes)
    facts = facts_of(output)
    assert facts.volume_ml is None
    assert (facts.warnings, facts.models) in [((), ()), ((), ({},))] or facts.models


def test_a_damaged_table_of_lesions_costs_the_table_alone(output):
    record = file_case(output, "sub-01")
    table = record.with_name("sub-01_label-L_lesions.tsv")
    table.write_bytes(b"index\tvolume_ml\n1\t\xff\n2\n\tx\ty\tz\n")
    facts = facts_of(output)
    assert [lesion.volume_ml for lesion in facts.lesions] == [None, None, None]
    assert facts.volume_ml > 0
    table.unlink()
    assert facts_of(output).lesions == ()


@pytest.mark.parametrize("value", [None, True, "1", float("inf"), 10**400, [1]])
def test_only_a_finite_number_is_a_number(value):
    assert number(value) is None
    assert number(3) == 3.0


def test_a_case_predicted_alone_is_known_by_its_prefix(output):
    record = file_case(output, "sub-01")
    content = json.loads(record.read_text())
    del content["case"]
    record.write_text(json.dumps(content))
    assert facts_of(output).name == "sub-01"


@pytest.mark.parametrize(("high", "outside"), [(1.1, False), (0.9, True)])
def test_a_volume_outside_the_range_of_flips_is_explained_where_that_is_shown(
    output, high, outside
):
    file_case(output, "a", lesion_volume_ml=1.0, lesion_volume_range_ml=[0.5, high])
    told = dict(measures(facts_of(output)))["single flips"]
    plain = f"0.5 to {high} ml"
    why = "; averaged first and cut then, so the volume can lie outside"
    assert told == plain + (why if outside else "")


def test_a_lesion_opposite_fluid_is_told(output):
    record = file_case(output, "sub-01")
    table = record.with_name("sub-01_label-L_lesions.tsv")
    first, second, third = table.read_text().splitlines()
    assert second.endswith("\tn/a")
    table.write_text("\n".join((first, second[:-3] + "true", third)) + "\n")
    assert [lesion.opposite_fluid for lesion in facts_of(output).lesions] == [True, False]
