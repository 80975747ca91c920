import numpy as np
import pytest

from strokeseg.engines.base import FlipLesion, ScanLogits
from strokeseg.engines.scan import lesion_maps
from strokeseg.errors import UsageError
from strokeseg.models.fusion import RULES, Fusion, fuse, silence
from strokeseg.prediction.ensemble import Member, fused_logits, posterior
from strokeseg.prediction.flip_spread import flip_spread
from strokeseg.prediction.options import Options
from strokeseg.space.grid import Grid

GRID = Grid((6, 5, 4), np.eye(4))
ONE = np.ones((2,), np.float32)


def odds(p):
    return np.full((2,), np.log(p / (1 - p)), np.float32)


def probability(log_odds):
    return 1 / (1 + np.exp(-log_odds.astype(np.float64)))


def scan(logits, modality, native=None, flips=1):
    logits = np.broadcast_to(np.reshape(logits, (-1, 1, 1, 1)), (len(logits), *GRID.shape))
    logits = np.ascontiguousarray(logits, np.float32)
    lesion = FlipLesion(*lesion_maps(logits))
    return Member(ScanLogits(logits, [lesion] * flips), GRID, native or GRID, modality)


SEES, BLIND = [0.0, -2.0, -2.0, 3.0], [6.0, 0.0, -2.0, -6.0]


@pytest.mark.parametrize(
    ("fusion", "expected"),
    [
        (Fusion("noisy_or"), 1 - 0.3 * 0.99 * 0.8),
        (Fusion("best_two"), (0.7 + 0.2) / 2),
        (Fusion("pooled", sharpness=1.0), 0.464),
        (Fusion("pooled", sharpness=50.0), 0.69),
    ],
)
def test_rules_are_what_they_say(fusion, expected):
    fused = fuse([odds(0.7), odds(0.01), odds(0.2)], [ONE] * 3, fusion)
    assert probability(fused)[0] == pytest.approx(expected, abs=0.01)


def test_mean_of_log_odds_lets_a_blind_scan_veto_and_the_others_do_not():
    blind = [odds(0.9), odds(1e-6)]
    assert probability(fuse(blind, [ONE] * 2, Fusion()))[0] < 0.01
    for fusion in (Fusion("noisy_or"), Fusion("best_two"), Fusion("pooled")):
        assert probability(fuse(blind, [ONE] * 2, fusion))[0] > 0.4, fusion


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("p", [1e-7, 0.3, 0.999])
def test_a_scan_alone_stays_as_it_is(rule, p):
    other, nothing = odds(0.9), np.zeros((2,), np.float32)
    fused = fuse([odds(p), other], [ONE, nothing], Fusion(rule))
    np.testing.assert_allclose(probability(fused), p, rtol=1e-3)


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_scans_changes_nothing(rule):
    values = [odds(0.7), odds(0.01), odds(0.2)]
    fused = fuse(values, [ONE] * 3, Fusion(rule))
    np.testing.assert_allclose(fuse(values[::-1], [ONE] * 3, Fusion(rule)), fused, atol=1e-4)


@pytest.mark.parametrize("rule", RULES)
def test_a_heavier_scan_is_heard_more(rule):
    values = [odds(0.8), odds(0.05)]
    light = fuse(values, [ONE * np.float32(0.2), ONE], Fusion(rule))
    heavy = fuse(values, [ONE, ONE * np.float32(0.2)], Fusion(rule))
    assert heavy[0] > light[0]


def test_a_floor_holds_what_a_sequence_may_say_against_others():
    from strokeseg.models.fusion import said

    assert probability(said(odds(1e-6), "dwi", Fusion(floors={"dwi": 0.05})))[0] == (
        pytest.approx(0.05, abs=1e-4)
    )
    assert said(odds(0.9), "dwi", Fusion(temperatures={"dwi": 2.0}))[0] == (
        pytest.approx(odds(0.9)[0] / 2, abs=1e-5)
    )


def test_what_other_says_holds_for_every_sequence_that_is_not_named():
    from strokeseg.models.fusion import said

    fusion = Fusion("pooled", floors={"other": 0.1, "dwi": 0.0}, weights={"other": 2.0})
    assert probability(said(odds(1e-6), "pd", fusion))[0] == pytest.approx(0.1, abs=1e-4)
    assert probability(said(odds(1e-6), "dwi", fusion))[0] == pytest.approx(1e-6, abs=1e-7)
    assert fusion.weight("anything") == 2.0


def test_the_silence_of_scans_is_what_their_floors_add_up_to():
    floors = Fusion("pooled", sharpness=0.0, floors={"other": 0.05, "adc": 0.2})
    assert silence(("t1", "flair"), floors) == pytest.approx(0.05)
    assert 0.05 < silence(("t1", "adc"), floors) < 0.2
    assert silence(("t1",), floors) == 0.0
    assert silence(("t1", "flair"), Fusion("mean_logits", floors={"other": 0.05})) == 0.0
    assert silence(("t1", "flair"), Fusion("noisy_or")) == pytest.approx(0, abs=1e-6)


def test_tissues_keep_the_mean_of_the_logits_whatever_the_fusion():
    both = [scan(SEES, "flair"), scan(BLIND, "dwi")]
    plain = posterior(both, GRID, with_entropy=False)
    fused = posterior(both, GRID, with_entropy=False, fusion=Fusion("noisy_or"))
    np.testing.assert_array_equal(fused.tissue, plain.tissue)
    assert plain.probability.max() < 0.1
    alone = posterior(both[:1], GRID, with_entropy=False).probability
    np.testing.assert_allclose(fused.probability, alone, atol=0.01)


def test_a_scan_is_silent_outside_its_field_of_view():
    half = Grid((3, 5, 4), np.eye(4))
    both = [scan(BLIND, "dwi"), scan(SEES, "flair", native=half)]
    fused = posterior(both, GRID, with_entropy=False, fusion=Fusion("noisy_or")).probability
    alone = posterior(both[:1], GRID, with_entropy=False).probability
    np.testing.assert_allclose(fused[3:], alone[3:], atol=1e-6)
    assert fused[:3].min() > 0.8


def test_a_weight_of_0_silences_a_scan_where_another_one_is():
    half = Grid((3, 5, 4), np.eye(4))
    both = [scan(SEES, "flair"), scan(BLIND, "dwi", native=half)]
    for rule in RULES:
        muted = Fusion(rule, weights={"flair": 0.0})
        found = posterior(both, GRID, with_entropy=False, fusion=muted).probability
        assert found[:3].max() < 0.01, rule
        assert found[3:].min() > 0.5 or rule == "mean_logits", rule


def test_two_models_of_one_scan_are_averaged_and_do_not_add_up():
    twice = [scan(SEES, "flair"), scan(SEES, "flair"), scan(BLIND, "dwi")]
    once = [scan(SEES, "flair"), scan(BLIND, "dwi")]
    fusion = Fusion("noisy_or")
    np.testing.assert_allclose(
        posterior(twice, GRID, with_entropy=False, fusion=fusion).probability,
        posterior(once, GRID, with_entropy=False, fusion=fusion).probability,
        atol=1e-6,
    )


def test_flips_are_fused_as_the_scans_are():
    both = [scan(SEES, "flair", flips=2), scan(BLIND, "dwi", flips=2)]
    assert not flip_spread(both, GRID, 0.5).levels[0].any()
    spread = flip_spread(both, GRID, 0.5, fusion=Fusion("noisy_or"))
    assert all(level.all() for level in spread.levels)
    np.testing.assert_allclose(spread.std, 0, atol=1e-3)


def test_the_lesions_logit_alone_is_set_and_its_odds_are_those_of_the_fusion():
    both = [scan(SEES, "flair"), scan(BLIND, "dwi")]
    mean = fused_logits(both, GRID, slice(0, 6))
    fused = fused_logits(both, GRID, slice(0, 6), Fusion("noisy_or"))
    np.testing.assert_array_equal(fused[:-1], mean[:-1])
    expected = fuse(
        [lesion_maps(m.logits.mean)[0] for m in both],
        [np.ones(GRID.shape, np.float32)] * 2,
        Fusion("noisy_or"),
    )
    np.testing.assert_allclose(lesion_maps(fused)[0], expected, atol=1e-4)


def test_what_was_cut_away_is_background():
    inside = Grid((3, 5, 4), np.eye(4))
    logits = np.ascontiguousarray(scan(SEES, "flair").logits.mean[:, :3])
    cut = Member(
        ScanLogits(logits, [FlipLesion(*lesion_maps(logits))]), inside, GRID, "flair", is_cut=True
    )
    answer = posterior([cut], GRID, with_entropy=True)
    assert answer.probability[:3].min() > 0.8
    assert not answer.probability[3:].any()
    assert not answer.tissue[3:].any()
    np.testing.assert_allclose(answer.entropy[3:], 0, atol=1e-6)
    level = flip_spread([cut], GRID, 0.5).levels[0]
    assert level[:3].all()
    assert not level[3:].any()


@pytest.mark.parametrize(
    "changes",
    [
        {"rule": "vote"},
        {"weights": {"t1": -1.0}},
        {"temperatures": {"t1": 0.0}},
        {"floors": {"t1": 1.0}},
        {"sharpness": -1.0},
    ],
)
def test_a_fusion_out_of_range_is_refused(changes):
    with pytest.raises(UsageError):
        Fusion(**changes)


def test_options_change_a_models_fusion():
    own = Fusion("pooled", weights={"dwi": 2.0}, sharpness=3.0)
    assert Options().fused(own) == own
    changed = Options(fusion="noisy_or", weights=(("flair", 0.5),)).fused(own)
    assert changed.rule == "noisy_or"
    assert changed.weights == {"dwi": 2.0, "flair": 0.5}
    with pytest.raises(UsageError, match="--fusion"):
        Options(fusion="vote")
    with pytest.raises(UsageError, match="--weight"):
        Options(weights=(("flair", -1.0),))
