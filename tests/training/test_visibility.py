"""Whether a drawn lesion can be seen."""

import pytest
import torch

from strokeseg.training.config import read_config
from strokeseg.training.data.label_table import LESION
from strokeseg.training.data.sources import load_sources
from strokeseg.training.synthesis.sample import make_sample
from strokeseg.training.synthesis.visibility import visibility
from tests.training.heads import config_text

SHAPE = (24, 24, 24)
WHITE, GREY = 3, 1


@pytest.fixture
def scene():
    """Noise of two tissues, and a lesion across both that nothing shows."""
    generator = torch.Generator().manual_seed(1)
    tissue = torch.full(SHAPE, WHITE)
    tissue[:12] = GREY
    image = torch.randn(SHAPE, generator=generator) + 4 * (tissue == WHITE)
    lesion = torch.zeros(SHAPE, dtype=torch.bool)
    lesion[8:16, 6:18, 6:18] = True
    return image, lesion, tissue


def test_what_is_as_bright_as_its_tissue_is_not_seen(scene):
    assert visibility(*scene) < 0.15


@pytest.mark.parametrize("change", [3.0, -3.0])
def test_what_is_brighter_or_darker_is_seen(scene, change):
    image, lesion, tissue = scene
    image[lesion] += change
    assert visibility(image, lesion, tissue) > 0.8


def test_a_bright_rim_around_a_dark_core_is_seen(scene):
    image, lesion, tissue = scene
    image[lesion] += 4
    image[10:14, 8:16, 8:16] -= 8
    assert visibility(image, lesion, tissue) > 0.4


def test_too_little_to_tell_counts_as_seen(scene):
    image, lesion, tissue = scene
    lesion[:] = False
    lesion[3, 3, :5] = True
    assert visibility(image, lesion, tissue) == 1


def test_a_lesion_that_cannot_be_seen_is_none_to_the_target(data_folder, tmp_path):
    targets = []
    for least in ("0.0", "1.0"):
        path = tmp_path / f"least-{least}.toml"
        path.write_text(config_text(data_folder, lesion=f"least_visible = {least}\n"))
        config = read_config(path)
        sample = make_sample(2, load_sources(config.data), config)
        targets.append(sample.target)
    assert (targets[0] == LESION).any()
    assert not (targets[1] == LESION).any()
    known = targets[0] != LESION
    assert torch.equal(targets[0][known], targets[1][known])
