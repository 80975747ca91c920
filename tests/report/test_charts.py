import dataclasses

import pytest

from strokeseg.report.charts import volume_by_side, volume_histogram
from strokeseg.report.facts import gather_facts
from strokeseg.results.archive import find_filed_cases
from tests.report.cohorts import file_error


@pytest.fixture
def cases(tmp_path):
    """Make cases of given volumes and sides."""
    file_error(tmp_path, "sub-01")
    facts = gather_facts(find_filed_cases(tmp_path)[0], tmp_path)

    def make(*pairs):
        return [dataclasses.replace(facts, volume_ml=v, side=s) for v, s in pairs]

    return make


def test_each_case_is_counted_once_in_the_bar_of_its_volume(cases):
    chart = volume_histogram(
        cases((0.0, ""), (0.1, "left"), (0.11, "left"), (5, "left"), (1000, "both"), (None, ""))
    )
    names = [label.text for label in chart.x_labels]
    counts = {name: bar.count for name, bar in zip(names, chart.bars, strict=True)}
    assert {name: count for name, count in counts.items() if count} == {
        "none": 1,
        "≤ 0.1": 1,
        "0.1-0.3": 1,
        "3-10": 1,
        "> 300": 1,
    }
    assert "5 cases" in chart.title
    assert "(ml)" in chart.x_title


def test_bars_are_as_high_as_their_counts(cases):
    chart = volume_histogram(cases(*[(5, "left")] * 30, *[(0.0, "")] * 15))
    heights = {bar.count: bar.height for bar in chart.bars if bar.count}
    assert heights[30] == pytest.approx(2 * heights[15])
    assert [label.text for label in chart.y_labels][-1] == "30"
    tallest = min(bar.y for bar in chart.bars)
    assert tallest == pytest.approx(min(line.y1 for line in chart.grid))


def test_cases_stand_by_side_on_a_logarithmic_axis_with_their_median(cases):
    chart = volume_by_side(
        cases((1, "left"), (10, "left"), (100, "left"), (10, "right"), (0.0, ""))
    )
    assert [label.text for label in chart.x_labels] == ["left (n = 3)", "right (n = 1)"]
    y = {dot.about.split(": ")[1]: dot.y for dot in chart.dots}
    assert y["1.00 ml"] - y["10.00 ml"] == pytest.approx(y["10.00 ml"] - y["100.00 ml"])
    assert [line.y1 for line in chart.medians] == pytest.approx([y["10.00 ml"]])
    assert [label.text for label in chart.y_labels] == ["1", "10", "100"]


def test_a_cohort_without_any_lesion_is_drawn(cases):
    for draw in (volume_histogram, volume_by_side):
        assert draw(cases((None, ""), (0.0, ""))).grid
        assert draw([]).grid
