"""Tests, effects, intervals and corrections: by hand, by scipy and by statsmodels."""

import numpy as np
import pytest
from scipy import stats

from strokeseg.groups import ranks

NONE = np.empty((40, 0))


def sample(effect, seed=0, number=20):
    rng = np.random.default_rng(seed)
    return rng.normal(size=number), rng.normal(size=number) + effect


def test_an_auroc_and_delta_made_by_hand():
    first, second = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0])
    # 2 over 1, ties with 2, under 3; 4 over all: 4.5 of 6.
    assert ranks.auroc(first, second) == pytest.approx(4.5 / 6)
    assert ranks.cliffs_delta(4.5 / 6) == pytest.approx((4 - 1) / 6)
    assert ranks.auroc(second, first) == pytest.approx(1.5 / 6)


def test_a_rank_sum_made_by_hand():
    # Of 10 ways to choose 2 of 5, one has both largest: two-sided 2 / 10.
    statistic, p = ranks.group_test([np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0])])
    assert (statistic, p) == (6.0, pytest.approx(0.2))


def test_holm_made_by_hand_and_by_statsmodels():
    assert ranks.holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    some = ranks.holm([0.01, float("nan"), 0.9, 0.6])
    assert some[0] == pytest.approx(0.03)
    assert np.isnan(some[1])
    assert some[2:] == (1.0, 1.0)
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(1).uniform(size=12) ** 2
    assert ranks.holm(p.tolist()) == pytest.approx(multitest.multipletests(p, method="holm")[1])


def test_without_covariates_tests_are_those_of_scipy():
    first, second = sample(0.5)
    together = np.r_[first, second]
    left = ranks.rank_residuals(together, NONE)
    ours = ranks.group_test([left[:20], left[20:]])
    theirs = stats.mannwhitneyu(second, first)
    assert ours == pytest.approx((theirs.statistic, theirs.pvalue))
    three = ranks.group_test([left[:10], left[10:20], left[20:]])
    assert three == pytest.approx(tuple(stats.kruskal(first[:10], first[10:], second)))
    others = np.random.default_rng(2).normal(size=40) + together
    rho = ranks.rank_correlation(left, ranks.rank_residuals(others, NONE))
    assert rho == pytest.approx(tuple(stats.spearmanr(together, others)))


def test_residuals_are_those_of_an_ordinary_regression():
    api = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(4)
    design, values = rng.normal(size=(40, 2)), rng.normal(size=40)
    fit = api.OLS(stats.rankdata(values), api.add_constant(design)).fit()
    assert ranks.rank_residuals(values, design) == pytest.approx(fit.resid, abs=1e-7)


def test_a_partial_correlation_has_the_p_of_a_regression():
    api = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(5)
    design = rng.normal(size=(40, 2))
    values, others = design[:, 0] + rng.normal(size=40), design[:, 0] + rng.normal(size=40)
    a, b = (ranks.rank_residuals(one, design) for one in (values, others))
    rho, p = ranks.rank_correlation(a, b, taken=2)
    columns = api.add_constant(np.c_[stats.rankdata(others), design])
    fit = api.OLS(stats.rankdata(values), columns).fit()
    assert p == pytest.approx(fit.pvalues[1], rel=1e-4)
    assert abs(rho) < 0.6


def test_what_a_covariate_makes_alone_is_no_difference_after_it():
    rng = np.random.default_rng(6)
    age = np.r_[rng.normal(size=20), rng.normal(size=20) + 2]
    values = age + 0.3 * rng.normal(size=40)
    raw = ranks.rank_residuals(values, NONE)
    held = ranks.rank_residuals(values, stats.rankdata(age)[:, np.newaxis])
    assert ranks.group_test([raw[:20], raw[20:]])[1] < 0.001
    assert ranks.group_test([held[:20], held[20:]])[1] > 0.05


def test_intervals_hold_the_truth_and_figures_lie_within():
    # Normal groups d apart have an AUROC of Phi(d / sqrt 2).
    truth = stats.norm.cdf(1.2 / np.sqrt(2))
    low, high = ranks.auroc_interval(*sample(1.2, seed=7))
    assert low < truth < high
    assert low < ranks.auroc(*sample(1.2, seed=7)) < high
    values = np.random.default_rng(8).normal(size=40)
    low, high = ranks.median_interval(values)
    assert low <= np.median(values) <= high
    assert low < 0 < high
    others = values + np.random.default_rng(9).normal(size=40)
    low, high = ranks.correlation_interval(values, others)
    assert low < stats.spearmanr(values, others).statistic < high


def test_what_is_the_same_everywhere_is_no_difference():
    same = np.ones(5)
    assert ranks.group_test([same, same])[1] == 1.0
    assert ranks.rank_correlation(same, np.arange(5.0))[1] == 1.0
    assert np.isnan(ranks.correlation_interval(same, np.arange(5.0))).all()
    assert np.isnan(ranks.median_interval(np.ones(1))).all()
