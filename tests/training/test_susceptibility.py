from dataclasses import replace

import numpy as np
import torch

from strokeseg.training.settings import IntensityConfig
from strokeseg.training.synthesis.sample import make_sample
from strokeseg.training.synthesis.susceptibility import brighten_rims, draw_rims
from strokeseg.training.validation.cases import validation_samples


def ball(radius=10, size=32):
    steps = torch.arange(size) - (size - 1) / 2
    squares = steps**2
    return squares[:, None, None] + squares[:, None] + squares < radius**2


def test_a_rim_is_bright_where_it_lies_and_nowhere_else():
    brain = ball()
    rims = np.array([[1, 0, 0, 0.3, 2.0]], np.float32)
    image = brighten_rims(torch.ones(32, 32, 32), brain, rims, depth_vox=4.0)
    assert image[25, 16, 16] > 1.5  # the edge that the direction points to
    assert image[6, 16, 16] < 1.01  # the edge on the other side
    assert image[16, 16, 16] < 1.05  # the middle
    assert torch.equal(image[~brain], torch.ones(32, 32, 32)[~brain])


def test_an_image_without_brain_stays_as_it_is():
    image = torch.rand(8, 8, 8, generator=torch.Generator().manual_seed(1))
    rims = np.array([[0, 1, 0, 0.2, 1.0]], np.float32)
    assert torch.equal(brighten_rims(image, torch.zeros(8, 8, 8, dtype=torch.bool), rims, 4), image)


def test_rims_are_drawn_for_their_share_of_images_and_cost_no_draw_without():
    rng = np.random.default_rng(2)
    drawn = [draw_rims(rng, IntensityConfig(rim_share=0.25)) for _ in range(400)]
    found = [rims for rims in drawn if rims is not None]
    assert 60 < len(found) < 140
    assert {len(rims) for rims in found} == {1, 2, 3, 4, 5}
    lengths = np.concatenate([np.linalg.norm(rims[:, :3], axis=1) for rims in found])
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)
    one, other = np.random.default_rng(3), np.random.default_rng(3)
    assert draw_rims(one, IntensityConfig()) is None
    assert one.random() == other.random()


def test_rims_change_samples_but_not_the_validation_set(sources, held_out, config):
    rimmed = replace(config, intensity=replace(config.intensity, rim_share=1.0))
    assert not make_sample(1, sources, rimmed).image.equal(make_sample(1, sources, config).image)
    one, other = (next(validation_samples(held_out, c, 1))[1] for c in (config, rimmed))
    assert one.image.equal(other.image)
