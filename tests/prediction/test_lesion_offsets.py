import json

import numpy as np
import pytest

from strokeseg import Options, load_model, predict
from strokeseg.engines.base import FlipLesion, ScanLogits
from strokeseg.engines.scan import lesion_maps
from strokeseg.errors import ModelFormatError
from strokeseg.models.config import ModelConfig
from tests.factories import Kind, scan_image
from tests.tiny_models import CONFIG, OWN, tiny_files, write_files
from tests.two_stages import second_of

RULE = {"threshold": 0.3, "min_volume_ml": 0.0, "brain_mask": False, "window": 32}
SMALL = Kind("LAS", shape=(40, 48, 36))


def model_with(folder, **own):
    files = tiny_files(OWN | RULE | own, seed=3)
    return load_model(str(write_files(folder, files)))


def log_odds(probability):
    return np.log(probability / (1 - probability))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return model_with(tmp_path_factory.mktemp("plain") / "tiny")


@pytest.fixture(scope="module")
def leaning(tmp_path_factory):
    return model_with(tmp_path_factory.mktemp("leaning") / "tiny", lesion_offsets={"t2": 1.5})


def test_the_log_odds_of_a_named_sequence_rise_by_the_offset_and_its_mask_grows(plain, leaning):
    image = scan_image(SMALL, np.float32)
    before, after = (predict({"t2": image}, model=m) for m in (plain, leaning))
    rise = log_odds(after.probability.astype(float)) - log_odds(before.probability.astype(float))
    inside = (before.probability > 1e-3) & (before.probability < 0.99)
    np.testing.assert_allclose(rise[inside], 1.5, atol=0.01)
    assert before.mask.sum() < after.mask.sum()
    assert not (before.mask & ~after.mask).any()
    assert before.volume_range_ml[0] < after.volume_range_ml[0], "every flip leans as the mean does"
    np.testing.assert_array_equal(after.mask, after.probability >= np.float32(0.3))


def test_a_sequence_that_is_not_named_stays_as_it_is(plain, leaning):
    image = scan_image(SMALL, np.float32)
    one_pass = Options(tta=False)
    before, after = (predict({"t1": image}, model=m, options=one_pass) for m in (plain, leaning))
    np.testing.assert_array_equal(before.probability, after.probability)


def test_beside_another_scan_only_the_named_one_leans(plain, leaning):
    scans = {"t1": scan_image(SMALL, np.float32)}
    scans["t2"] = scans["t1"]
    before, after = (predict(scans, model=m) for m in (plain, leaning))
    rise = log_odds(after.probability.astype(float)) - log_odds(before.probability.astype(float))
    inside = (before.probability > 1e-3) & (before.probability < 0.99)
    # The mean of logits, one of two of which is 1.5 higher.
    np.testing.assert_allclose(rise[inside], 0.75, atol=0.01)


def test_the_record_and_the_model_tell_the_offsets(leaning, plain, tmp_path):
    image = scan_image(SMALL, np.float32)
    for model, told in ((leaning, {"t2": 1.5}), (plain, None)):
        result = predict({"t2": image}, model=model, options=Options(tta=False))
        assert result.record["models"][0].get("lesion_offsets") == told
        assert json.loads(json.dumps(result.record)) == result.record
    assert model_with(tmp_path / "m", lesion_offsets={}).model.config.lesion_offsets == {}


def test_leaning_is_the_same_as_a_larger_logit_of_the_lesion():
    logits = np.random.default_rng(0).normal(0, 2, (4, 3, 3, 3)).astype(np.float32)
    odds, is_argmax = lesion_maps(logits)
    scan = ScanLogits(logits.copy(), [FlipLesion(odds.copy(), is_argmax)])
    scan.lean(0.75)
    raised = logits.copy()
    raised[-1] += np.float32(0.75)
    np.testing.assert_array_equal(scan.mean, raised)
    np.testing.assert_allclose(scan.per_flip[0].log_odds, lesion_maps(raised)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({"threshold": None, "lesion_offsets": {"t2": 1.0}}, "needs a threshold"),
        ({"lesion_offsets": {"t2": 21.0}}, "outside -20 to 20"),
        ({"lesion_offsets": {"t2": "much"}}, "not a number"),
        ({"lesion_offsets": [1.0]}, "must be a table"),
    ],
)
def test_offsets_that_cannot_be_are_refused(own, told):
    config = {**CONFIG, "strokeseg": OWN | RULE | own}
    with pytest.raises(ModelFormatError, match=told):
        ModelConfig.from_config(config)


def test_a_model_of_two_stages_has_no_offsets():
    second, _ = second_of()
    stages = {"stages": [second.to_config()], "lesion_offsets": {"t2": 1.0}}
    with pytest.raises(ModelFormatError, match="needs a model of one stage"):
        ModelConfig.from_config({**CONFIG, "strokeseg": OWN | RULE | stages})
