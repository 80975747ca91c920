from dataclasses import replace

import numpy as np
import pytest
import torch

from strokeseg.errors import UsageError
from strokeseg.training.data.label_table import LESION, AgeingClasses, read_table
from strokeseg.training.settings import AgeingConfig
from strokeseg.training.synthesis.ageing import Ageing, apply_ageing, draw_ageing
from strokeseg.training.synthesis.painting import Mixture
from strokeseg.training.synthesis.sample import make_sample
from strokeseg.training.validation.cases import draw_case, validation_samples

AIR, WHITE, VENTRICLE, HYPERINTENSITY, CORTEX = range(5)
CLASSES = AgeingClasses(
    ventricle=VENTRICLE, yields=(WHITE,), white_matter=WHITE, hyperintensity=HYPERINTENSITY
)


def brain():
    """A block of white matter in cortex, with a ventricle across its middle."""
    first = torch.full((24, 24, 24), CORTEX)
    first[2:22, 2:22, 2:22] = WHITE
    first[6:18, 10:14, 10:14] = VENTRICLE
    return Mixture(first, first.clone(), torch.ones(24, 24, 24))


def constant(value):
    return np.full((2, 2, 2), value, np.float32)


def test_a_ventricle_grows_into_what_yields_and_never_shrinks():
    head = brain()
    aged = apply_ageing(head, Ageing(constant(0.2), None), CLASSES, reach_vox=5.0)
    before, after = head.first == VENTRICLE, aged.first == VENTRICLE
    assert after.sum() > 1.5 * before.sum()
    assert (after | ~before).all()
    assert torch.equal(aged.first == CORTEX, head.first == CORTEX)
    assert torch.equal(aged.first, aged.second)


def test_a_threshold_that_differs_widens_one_end_more():
    field = np.full((4, 2, 2), 0.6, np.float32)
    field[:2] = 0.1
    aged = apply_ageing(brain(), Ageing(field, None), CLASSES, reach_vox=5.0)
    grown = (aged.first == VENTRICLE) & (brain().first != VENTRICLE)
    assert grown[:12].sum() > 2 * grown[12:].sum()


def test_hyperintensities_lie_in_white_matter_around_the_ventricle():
    aged = apply_ageing(brain(), Ageing(None, constant(0.2)), CLASSES, reach_vox=5.0)
    found = aged.first == HYPERINTENSITY
    assert found.any()
    assert (brain().first[found] == WHITE).all()
    assert torch.equal(aged.first == VENTRICLE, brain().first == VENTRICLE)


def test_a_table_without_ageing_leaves_heads_as_they_are():
    head = brain()
    assert apply_ageing(head, Ageing(constant(0.0), constant(0.0)), None, 5.0) is head


def test_each_change_is_drawn_for_its_share_of_heads():
    rng = np.random.default_rng(1)
    drawn = [draw_ageing(rng, AgeingConfig(share=0.3)) for _ in range(400)]
    for changes in ([a.ventricle for a in drawn], [a.hyperintensity for a in drawn]):
        assert 80 < sum(change is not None for change in changes) < 160
    never = draw_ageing(rng, AgeingConfig(share=0.0))
    assert never == Ageing(None, None)


def test_ageing_changes_a_sample_and_makes_no_lesion(sources, config):
    young = replace(config, lesion=replace(config.lesion, lesion_free_share=1.0))
    old = replace(young, ageing=AgeingConfig(share=1.0, ventricle_threshold=(0.1, 0.2)))
    before, after = (make_sample(3, sources, settings) for settings in (young, old))
    assert (after.target == 4).sum() > (before.target == 4).sum()
    assert not (after.target == LESION).any()


def test_the_validation_set_is_the_same_with_and_without_ageing(held_out, config):
    aged = replace(config, ageing=AgeingConfig(share=1.0))
    for settings in (config, aged):
        assert draw_case(2, held_out, settings).made_of.ageing == Ageing(None, None)
    one, other = (list(validation_samples(held_out, c, 2)) for c in (config, aged))
    for (_, sample), (_, again) in zip(one, other, strict=True):
        assert sample.image.equal(again.image)


def test_the_bundled_table_names_the_classes_that_age():
    table = read_table()
    ageing = table.ageing
    names = table.class_names
    assert names[ageing.ventricle] == "ventricle"
    assert {"white_matter", "deep_grey"} <= {names[i] for i in ageing.yields}


def test_a_table_whose_ageing_names_no_class_is_refused(tmp_path):
    path = tmp_path / "table.toml"
    text = '[classes.air]\nlabels = [0]\ntissue = "background"\n'
    text += '[partial_volume]\ngrey = []\nwhite = []\nname = "b"\ntissue = "GM/WM"\nsigma_mm = 1\n'
    path.write_text(text + '[ageing]\nventricle = "nowhere"\n')
    with pytest.raises(UsageError, match="nowhere"):
        read_table(path)
