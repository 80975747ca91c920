import csv
import io
import json
import math

import pytest

from strokeseg.cli.show.evaluation import case_rows, comparison_rows, size_rows, summary_rows
from strokeseg.errors import CannotCreateError, DataError, UsageError
from strokeseg.evaluation.comparison import compare
from strokeseg.evaluation.evaluating import EvaluatedCase
from strokeseg.evaluation.metrics.case_metrics import METRICS
from strokeseg.evaluation.tables import (
    as_json,
    case_table,
    comparison_table,
    definitions,
    summary_table,
)
from strokeseg.evaluation.writing import TableNames, check_tables, write_tables
from tests.evaluation.cases import evaluation, many, metrics

ODD = [metrics(hd95_mm=math.inf, precision=math.nan), metrics(truth_ml=8.0), None]


def rows(text):
    return list(csv.DictReader(io.StringIO(text), delimiter="\t"))


def odd():
    whole = evaluation("a", ODD)
    failed = whole.cases[2]
    broken = EvaluatedCase(failed.pair, None, error=DataError("x.nii: is empty"))
    return type(whole)(**{**vars(whole), "cases": (*whole.cases[:2], broken)})


def test_the_table_of_cases_has_a_row_for_each_and_tells_of_those_that_failed():
    first, second, third = rows(case_table([odd()]))
    assert (first["model"], first["case"], first["compared"]) == ("a", "case00", "same grid")
    assert (first["hd95_mm"], first["precision"], first["dice"]) == ("inf", "n/a", "1")
    assert second["group"] == "5-20 ml"
    assert third["dice"] == third["group"] == "n/a"
    assert third["note"] == "error: x.nii: is empty"
    assert third["prediction"] == "a/2.nii"


def test_the_summary_has_a_row_for_each_group_and_metric():
    found = rows(summary_table([odd()]))
    assert len(found) == 3 * len(METRICS)
    hd95 = next(row for row in found if (row["group"], row["metric"]) == ("all", "hd95_mm"))
    assert (hd95["n"], hd95["n_infinite"], hd95["n_undefined"]) == ("1", "1", "0")
    assert (hd95["unit"], hd95["mean"], hd95["ci95_low"]) == ("mm", "0", "n/a")


def test_the_comparison_says_which_is_first_and_has_stars():
    both = compare(evaluation("a", many(1)), evaluation("b", [metrics(dice=0.99)] * 12))
    dice = next(row for row in rows(comparison_table(both)) if row["metric"] == "dice")
    assert (dice["first"], dice["second"], dice["stars"], dice["n_pairs"]) == (
        "a",
        "b",
        "***",
        "12",
    )
    assert float(dice["mean_difference"]) < 0


def test_every_column_is_defined():
    columns = rows(case_table([odd()]))[0].keys()
    defined = definitions(odd())
    assert all(defined[column]["Description"] for column in columns)
    assert "BCa" in defined["Intervals"]
    assert "* p < 0.05" in defined["Test"]


def test_json_holds_everything_and_is_json():
    both = compare(evaluation("a", many(1)), evaluation("b", many(2)))
    content = json.loads(as_json([odd(), evaluation("b", many(2))], both))
    case = content["models"][0]["cases"][0]
    assert case["metrics"]["hd95_mm"] == "inf"
    assert case["metrics"]["precision"] is None
    assert content["models"][0]["failed"] == 1
    assert content["models"][0]["cases"][2]["error"] == "x.nii: is empty"
    assert content["comparison"]["first"] == "a"
    assert len(content["comparison"]["differences"]) == len(both.differences)
    assert json.loads(as_json([odd()], None))["comparison"] is None


def test_printed_tables_have_units_and_few_digits():
    columns, body = case_rows(odd())
    assert "HD95 (mm)" in columns
    assert body[0][columns.index("HD95 (mm)")] == "inf"
    assert body[0][columns.index("Precision")] == "-"
    assert body[2][1] == "failed"
    columns, body = summary_rows(odd())
    hd95 = dict(zip(columns, body[1], strict=True))
    assert (hd95["metric"], hd95["n"], hd95["left out"]) == ("HD95 (mm)", "1", "1 infinite")
    columns, body = size_rows(odd())
    assert columns == ["mean", "<5 ml (n = 1)", "5-20 ml (n = 1)"]
    assert body[1] == ["HD95 (mm)", "-", "0.00"]
    both = compare(evaluation("a", many(1)), evaluation("b", [metrics(dice=0.99)] * 12))
    columns, body = comparison_rows(both)
    assert columns[1:3] == ["a", "b"]
    assert body[0][5:7] == ["0.0005", "***"]


def test_files_are_named_in_a_folder_or_after_a_table(tmp_path):
    names = [path.name for path in TableNames.for_output(tmp_path / "out").all()]
    assert names == [
        *("metrics.tsv", "metrics.json", "summary.tsv"),
        *("comparison.tsv", "comparison.png", "models.tsv"),
    ]
    named = TableNames.for_output(tmp_path / "out" / "x.tsv")
    assert [path.name for path in named.all()] == [
        *("x.tsv", "x.json", "x_summary.tsv"),
        *("x_comparison.tsv", "x_comparison.png", "x_models.tsv"),
    ]
    assert named.metrics.parent == tmp_path / "out"
    with pytest.raises(UsageError, match=r"ends in \.tsv"):
        TableNames.for_output(tmp_path / "x.csv")


def test_all_tables_are_written_and_replace_earlier_ones(tmp_path):
    names = TableNames.for_output(tmp_path / "out")
    both = [evaluation("a", many(1)), evaluation("b", many(2))]
    written = write_tables(names, both, compare(*both))
    assert set(written) == set(names.all()) - {names.models}
    first = {path: path.read_bytes() for path in written}
    write_tables(names, both, compare(*both))
    assert {path: path.read_bytes() for path in written} == first
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        path.name for path in written
    )
    alone = write_tables(TableNames.for_output(tmp_path / "alone"), both[:1], None)
    assert [path.name for path in alone] == ["metrics.tsv", "metrics.json", "summary.tsv"]


def test_inputs_folders_and_files_are_not_written_over(tmp_path):
    table = tmp_path / "truths.tsv"
    table.write_text("case\ttruth\n")
    with pytest.raises(CannotCreateError, match="is an input"):
        check_tables(TableNames.for_output(table), [table])
    (tmp_path / "out" / "summary.tsv").mkdir(parents=True)
    with pytest.raises(CannotCreateError, match="is a folder"):
        check_tables(TableNames.for_output(tmp_path / "out"), [])
    with pytest.raises(CannotCreateError, match="is a file, not a folder"):
        check_tables(TableNames.for_output(table / "x"), [])


@pytest.mark.parametrize(("count", "noted"), [(5, True), (6, False)])
def test_intervals_and_p_values_of_few_cases_carry_a_note(count, noted):
    first, second = (evaluation(name, many(seed)[:count]) for name, seed in (("a", 1), ("b", 2)))
    summary = next(row for row in rows(summary_table([first])) if row["metric"] == "dice")
    paired = next(
        row for row in rows(comparison_table(compare(first, second))) if row["metric"] == "dice"
    )
    for row in (summary, paired):
        assert (row["note"] == "fewer than 6 cases: interval and p say little") is noted
