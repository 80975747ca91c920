import numpy as np
import pytest

from strokeseg.errors import UsageError
from strokeseg.training.lesion_bias import fit_lesion_bias, last_bias, with_lesion_bias
from strokeseg.training.sample import LESION
from strokeseg.training.validation import validation_samples


def test_the_bias_turns_shifted_log_odds_back_into_chances(config, held_out):
    rng = np.random.default_rng(0)
    shift = 2.0

    def over_sure(_image):
        """Say of every voxel of a class how often it is lesion, and then too much of it."""
        target = next(targets)
        chance = np.where(target == LESION, rng.beta(4, 2, target.shape), 0.02)
        logits = np.zeros((LESION + 1, *target.shape), np.float32) - 20
        logits[0] = 0
        logits[LESION] = np.log(chance / (1 - chance)) + shift
        return logits

    samples = [s.target.numpy() for _, s in validation_samples(held_out, config, 4)]
    targets = iter(samples)
    plain = fit_lesion_bias(over_sure, held_out, config, 4)
    rng, targets = np.random.default_rng(0), iter(samples)
    mended = fit_lesion_bias(with_lesion_bias(over_sure, plain), held_out, config, 4)
    assert plain < -0.1
    assert mended == pytest.approx(0, abs=0.05)


def test_a_network_without_a_last_bias_is_refused():
    with pytest.raises(UsageError, match="no bias in its last block"):
        last_bias({"model.0.conv.weight": np.zeros(1, np.float32)})
