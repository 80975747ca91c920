import numpy as np
import pytest
import torch

from strokeseg.engines.choice import open_engine
from strokeseg.errors import DataError, UsageError
from strokeseg.training.data.label_table import LESION
from strokeseg.training.validation.cases import validation_samples
from strokeseg.training.validation.scaling import (
    Scaling,
    fit_scaling,
    fold_scaling,
    least_cross_entropy,
    read_scaling,
    with_scaling,
    write_scaling,
)
from tests.networks import random_state, spec_of

CLASSES = LESION + 1
SCALING = Scaling((0.3, 0.7, 0.8, 0.6, 0.5, 0.25), (-1.0, 0.5, 0.0, 0.25, 0.5, -0.25))


def test_chances_that_were_distorted_are_found_again():
    """Classes are drawn from known chances."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (200_000, CLASSES))
    drawn = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    distorted = (logits - SCALING.bias) / SCALING.factor
    found = least_cross_entropy(
        torch.from_numpy(distorted.astype(np.float32)), torch.from_numpy(drawn)
    )
    np.testing.assert_allclose(found.factor, SCALING.factor, rtol=0.02)
    np.testing.assert_allclose(found.bias, SCALING.bias, atol=0.05)


def test_a_class_that_the_network_does_not_tell_is_named():
    """The third class's logit is high where the class is not."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, 3, 3000)
    logits = 2 * np.eye(3)[target] + rng.normal(0, 1, (3000, 3))
    logits[:, 2] *= -1
    said = torch.from_numpy(logits.astype(np.float32))
    with pytest.raises(DataError, match=r"does not tell class 2 yet.*Train it longer"):
        least_cross_entropy(said, torch.from_numpy(target))


def test_a_network_that_is_too_sure_of_the_validation_set_is_mended(config, held_out):
    """Of three voxels in four it names the class rightly, and is as sure of the others."""
    samples = [sample.target.numpy() for _, sample in validation_samples(held_out, config, 4)]

    def over_sure(_image):
        target = next(targets)
        wrong = rng.integers(CLASSES, size=target.shape)
        said = np.where(rng.random(target.shape) < 0.75, target, wrong)
        return (10 * np.eye(CLASSES, dtype=np.float32)[said]).transpose(3, 0, 1, 2)

    rng, targets = np.random.default_rng(0), iter(samples)
    scaling = fit_scaling(over_sure, held_out, config, 4)
    assert max(scaling.factor) < 0.8
    rng, targets = np.random.default_rng(0), iter(samples)
    again = fit_scaling(with_scaling(over_sure, scaling), held_out, config, 4)
    np.testing.assert_allclose(again.factor, 1, atol=0.01)
    np.testing.assert_allclose(again.bias, 0, atol=0.05)


def test_the_weights_carry_it_exactly():
    spec = spec_of()
    state = random_state(spec)
    image = np.random.default_rng(1).standard_normal((32, 32, 32)).astype(np.float32)
    before, after = (
        open_engine(spec, weights, engine="torch", device="cpu").logits
        for weights in (state, fold_scaling(state, SCALING))
    )
    expected = with_scaling(before, SCALING)(image)
    assert np.abs(expected - before(image)).max() > 0.5
    np.testing.assert_allclose(after(image), expected, atol=1e-5)


def test_what_cannot_carry_it_is_refused():
    spec = spec_of(num_res_units=0)
    with pytest.raises(UsageError, match="ends in no residual unit"):
        fold_scaling(random_state(spec), SCALING)
    with pytest.raises(UsageError, match="of 6 classes, the network of 2"):
        fold_scaling(random_state(spec_of(out_channels=2)), SCALING)


def test_it_is_written_and_read(tmp_path):
    write_scaling(SCALING, tmp_path / "scaling.json")
    assert read_scaling(tmp_path / "scaling.json") == SCALING


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"factor": 1, "bias": 2}'])
def test_what_holds_no_scaling_is_said(tmp_path, text):
    (tmp_path / "scaling.json").write_text(text)
    with pytest.raises(DataError, match=r"scaling\.json: no scaling"):
        read_scaling(tmp_path / "scaling.json")


@pytest.mark.parametrize(("factor", "bias"), [((1.0, 0.0), (0.0, 0.0)), ((1.0,), (0.0, 0.0))])
def test_a_scaling_that_makes_no_sense_is_refused(factor, bias):
    with pytest.raises(UsageError, match="a factor above 0 and a bias for each class"):
        Scaling(factor, bias)
