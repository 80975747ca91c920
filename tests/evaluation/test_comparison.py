import math

import numpy as np
import pytest
from scipy import stats

from strokeseg.errors import UsageError
from strokeseg.evaluation.comparison import Difference, compare, p_value
from tests.evaluation.cases import evaluation, many, metrics


def dice_row(first, second, metric="dice"):
    pair = (evaluation("a", first), evaluation("b", second))
    return compare(*pair).overall()[metric]


@pytest.mark.parametrize(("count", "stars"), [(5, ""), (6, "*"), (8, "**"), (11, "***")])
def test_p_of_differences_of_one_sign_is_the_share_of_sign_patterns(count, stars):
    # All of n differences positive: 2 of 2^n patterns are as extreme.
    first = [metrics(dice=0.5 + 0.01 * k) for k in range(1, count + 1)]
    found = dice_row(first, [metrics(dice=0.5)] * count)
    assert found.p == pytest.approx(2 / 2**count)
    assert found.stars == stars
    assert found.mean_difference == pytest.approx(0.01 * (count + 1) / 2)
    assert found.mean_first == pytest.approx(0.5 + found.mean_difference)
    assert found.mean_second == pytest.approx(0.5)


def test_p_of_mixed_signs_worked_out_by_hand():
    # Ranks 1 to 4 with signs + + + -: W- = 4; patterns with min(W+, W-) <= 4: 14 of 16.
    assert p_value(np.array([0.1, 0.2, 0.3, -0.4])) == pytest.approx(14 / 16)


@pytest.mark.parametrize("count", [7, 13, 14, 30])
def test_p_is_that_of_scipy_where_no_two_differences_tie(count):
    drawn = np.random.default_rng(count).normal(0.3, 1, count)
    assert p_value(drawn) == pytest.approx(stats.wilcoxon(drawn).pvalue)


def test_p_of_ties_and_zeros_is_the_share_of_sign_patterns():
    # Ranks 1.5, 1.5, 3.5, 3.5, 5, W+ = 13.5; W+ of 15 and 0 come once, of 13.5 and 1.5 twice.
    drawn = np.array([-0.1, 0.1, 0.2, 0.2, 0.3, 0.0])
    assert p_value(drawn) == pytest.approx(6 / 32)
    assert p_value(drawn) == pytest.approx(stats.wilcoxon(drawn).pvalue)


def test_models_that_never_differ_have_p_1():
    cases = many(3)
    found = dice_row(cases, cases)
    assert found.p == 1
    assert found.stars == ""
    assert found.ci95_low == found.mean_difference == found.ci95_high == 0


def test_pairs_with_an_infinite_or_undefined_value_are_left_out_and_counted():
    first = [metrics(hd95_mm=value) for value in (3.0, math.inf, 5.0, math.nan)]
    second = [metrics(hd95_mm=value) for value in (1.0, 2.0, math.inf, 4.0)]
    found = dice_row(first, second, "hd95_mm")
    assert (found.n_pairs, found.n_left_out) == (1, 3)
    assert found.mean_difference == 2
    assert (found.mean_first, found.mean_second) == (3, 1)


def test_cases_of_one_model_alone_are_counted():
    found = dice_row([metrics(dice=0.1)] * 4, [*[metrics(dice=0.2)] * 2, None, None])
    assert (found.n_pairs, found.n_left_out) == (2, 2)


def test_a_metric_without_any_pair_has_no_p():
    found = dice_row([metrics(pr_auc=math.nan)] * 2, [metrics()] * 2, "pr_auc")
    assert (found.n_pairs, found.n_left_out, found.stars) == (0, 2, "")
    assert math.isnan(found.p)


def test_sizes_are_compared_apart():
    first = [metrics(truth_ml=ml, dice=0.8) for ml in (1, 2, 30)]
    second = [metrics(truth_ml=ml, dice=0.5) for ml in (1, 2, 30)]
    rows = compare(evaluation("a", first), evaluation("b", second)).differences
    assert {r.group: r.n_pairs for r in rows if r.metric == "dice"} == {
        "all": 3,
        "<5 ml": 2,
        ">20 ml": 1,
    }


def test_nothing_in_common_is_an_error():
    with pytest.raises(UsageError, match="share no case"):
        compare(evaluation("a", [metrics(), None]), evaluation("b", [None, metrics()]))


@pytest.mark.parametrize(
    ("p", "stars"), [(0.05, ""), (0.0499, "*"), (0.01, "*"), (0.00999, "**"), (0.00099, "***")]
)
def test_stars_are_the_papers(p, stars):
    numbers = [math.nan] * 6
    assert Difference("all", "dice", 9, 0, *numbers, p).stars == stars
