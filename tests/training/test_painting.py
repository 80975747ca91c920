import numpy as np
import pytest
import torch

from strokeseg.training.data.contrast_table import read_sequences
from strokeseg.training.data.label_table import read_table
from strokeseg.training.settings import ContrastConfig
from strokeseg.training.synthesis.contrasts import Contrast
from strokeseg.training.synthesis.painting import (
    LesionTexture,
    Mixture,
    noise_fields,
    paint,
    paint_lesion,
)

SHAPE = (20, 22, 24)
CPU = torch.device("cpu")
FLAT = LesionTexture(np.zeros((2, 2, 2), np.float32), 0.0)


def contrast(means, stds, fwhm_vox=None):
    fwhm_vox = np.zeros(len(means)) if fwhm_vox is None else fwhm_vox
    arrays = (np.asarray(values, np.float32) for values in (means, stds, fwhm_vox))
    return Contrast("random", "random", *arrays, seed=4)


@pytest.fixture
def head():
    """Class 0 in one half, 1 in the other; the plane between is three quarters of 0."""
    first = torch.zeros(SHAPE, dtype=torch.int64)
    first[10:] = 1
    share = torch.ones(SHAPE)
    second = 1 - first
    first[10], second[10], share[10] = 0, 1, 0.75
    return Mixture(first, second, share)


def test_means_are_mixed_by_their_shares(head):
    image, _ = paint(head, contrast([40, 80, 0, 0], [0, 0, 0, 0]), ContrastConfig())
    assert image[:10].eq(40).all()
    assert image[11:].eq(80).all()
    torch.testing.assert_close(image[10], torch.full(SHAPE[1:], 50.0))


@pytest.mark.parametrize("per_class", [False, True])
def test_each_class_has_its_own_deviation_and_smoothness(head, per_class):
    settings = ContrastConfig(texture_per_class=per_class, texture_bank=3)
    drawn = contrast([0, 0, 0, 0], [5, 10, 1, 1], [0.0, 4.0, 0.0, 0.0])
    image, _ = paint(head, drawn, settings)
    rough, smooth = image[:10], image[11:]
    assert rough.std() == pytest.approx(5, rel=0.1)
    assert 5 < smooth.std() < 14
    assert rough.diff(dim=1).std() / rough.std() > 1.2
    assert smooth.diff(dim=1).std() / smooth.std() < 0.8


def test_noise_fields_have_unit_variance():
    for field in noise_fields((32, 32, 32), 1, (0.0, 1.0, 3.0), CPU):
        assert field.std() == pytest.approx(1, abs=1e-3)


def test_a_lesion_replaces_its_weight_and_leaves_the_rest_alone(head):
    drawn = contrast([40, 80, 200, 120], [0, 0, 0, 0])
    image, noise = paint(head, drawn, ContrastConfig())
    weight = torch.zeros(SHAPE)
    weight[4:8, 4:8, 4:8] = 1
    weight[8, 4:8, 4:8] = 0.5
    painted = paint_lesion(image, weight, noise, drawn, FLAT)
    assert painted[weight == 0].equal(image[weight == 0])
    torch.testing.assert_close(painted[weight == 1], torch.full((64,), 200.0))
    half = painted[8, 4:8, 4:8]
    assert ((half > 75) & (half < 125)).all()


def test_every_plausible_sequence_covers_every_class():
    sequences = read_sequences(read_table().class_names)
    assert {"T1w", "T2w", "FLAIR", "DWI", "ADC", "PD"} == {s.name for s in sequences}
    for sequence in sequences:
        assert all(low <= high for low, high in sequence.ranges)
        assert all(stage.core[0] <= stage.core[1] for stage in sequence.stages)
        assert sum(stage.share for stage in sequence.stages) == pytest.approx(1)
