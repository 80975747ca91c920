import math

import numpy as np
import pytest

from strokeseg.evaluation.metrics.case_metrics import METRICS
from strokeseg.evaluation.statistics import group_of, mean_interval, summarise
from tests.evaluation.cases import many, metrics


def row(cases, metric, group="all"):
    return next(r for r in summarise(cases) if (r.metric, r.group) == (metric, group))


def test_mean_and_median_are_of_the_finite_values_and_the_rest_is_counted():
    cases = [metrics(hd95_mm=value) for value in (1.0, 2.0, 6.0, math.inf, math.nan)]
    found = row(cases, "hd95_mm")
    assert (found.n, found.n_infinite, found.n_undefined) == (3, 1, 1)
    assert found.mean == pytest.approx(3)
    assert found.median == 2
    assert 1 <= found.ci95_low < 3 < found.ci95_high <= 6


def test_a_metric_without_any_value_has_no_mean():
    found = row([metrics(pr_auc=math.nan)] * 3, "pr_auc")
    assert (found.n, found.n_undefined) == (0, 3)
    assert math.isnan(found.mean)
    assert math.isnan(found.median)
    assert math.isnan(found.ci95_low)


@pytest.mark.parametrize(
    ("volume_ml", "group"),
    [
        (0, "none"),
        (0.01, "<5 ml"),
        (4.99, "<5 ml"),
        (5, "5-20 ml"),
        (20, "5-20 ml"),
        (21, ">20 ml"),
    ],
)
def test_cases_are_grouped_by_the_volume_of_their_truth(volume_ml, group):
    assert group_of(volume_ml) == group


def test_each_group_that_there_is_has_its_own_rows():
    cases = [metrics(truth_ml=ml, dice=d) for ml, d in ((0, 1.0), (2, 0.2), (3, 0.4), (50, 0.9))]
    groups = {r.group: r.mean for r in summarise(cases) if r.metric == "dice"}
    expected = {"all": 0.625, "none": 1.0, "<5 ml": 0.3, ">20 ml": 0.9}
    assert groups == pytest.approx(expected)
    assert len(summarise(cases)) == 4 * len(METRICS)
    assert summarise([]) == ()


def test_the_interval_of_many_normal_values_is_the_textbooks():
    values = np.random.default_rng(5).normal(10, 2, 1000)
    half = 1.96 * values.std(ddof=1) / math.sqrt(1000)
    low, high = mean_interval(values)
    assert low == pytest.approx(values.mean() - half, abs=0.01)
    assert high == pytest.approx(values.mean() + half, abs=0.01)


def test_the_interval_leans_to_the_long_tail():
    values = np.random.default_rng(3).exponential(1, 30)
    low, high = mean_interval(values)
    assert high - values.mean() > 1.1 * (values.mean() - low)


def test_the_interval_of_equal_values_is_the_value_and_of_one_value_none():
    assert mean_interval(np.full(4, 0.3)) == (0.3, 0.3)
    assert all(math.isnan(end) for end in mean_interval(np.array([0.3])))
    assert all(math.isnan(end) for end in mean_interval(np.array([])))


def test_intervals_are_the_same_each_time_and_in_any_company():
    cases = many(1)
    assert summarise(cases) == summarise(cases)
    values = np.array([case.dice for case in cases])
    found = row(cases, "dice")
    assert (found.ci95_low, found.ci95_high) == mean_interval(values)
