"""Samples painted by a translator: repeatable, only where asked for, their lesion in its place."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from strokeseg.errors import DataError, InputNotFoundError, UsageError
from strokeseg.training.config import read_config
from strokeseg.training.data.label_table import LESION
from strokeseg.training.data.layout import require_layout
from strokeseg.training.data.sources import Heads
from strokeseg.training.gallery import write_samples
from strokeseg.training.synthesis.painting import Mixture
from strokeseg.training.synthesis.sample import draw_sample, make_sample
from strokeseg.training.synthesis.translated import (
    TranslatedHead,
    Translation,
    draw_translation,
    translate_head,
    with_lesion,
)
from strokeseg.training.translation.classes import LESION as LESION_CODE
from strokeseg.training.translation.generators import build_generator
from strokeseg.training.translation.settings import (
    FitConfig,
    GeneratorConfig,
    PairConfig,
    TranslatorConfig,
)
from strokeseg.training.translation.translator import read_translator, write_translator
from tests.training.heads import config_text


def write_untrained(folder, voxel_size_mm=4.0, kind="spade"):
    """A translator whose weights are as torch draws them: it says nothing, and is quick."""
    config = TranslatorConfig(
        name="own",
        kind=kind,
        data=PairConfig(slices="x", voxel_size_mm=voxel_size_mm),
        generator=GeneratorConfig(channels=(4, 6, 8), noise_channels=2, label_channels=4),
        fit=FitConfig(precision="fp32"),
    )
    torch.manual_seed(4)
    tensors = {k: v.numpy() for k, v in build_generator(config).state_dict().items()}
    folder.mkdir(parents=True)
    write_translator(folder, config, tensors)
    return folder


@pytest.fixture(scope="module")
def translated(make_config, tmp_path_factory):
    folder = write_untrained(tmp_path_factory.mktemp("translators") / "flair")
    return make_config(
        data=f'translators = ["{folder}"]\n',
        contrast="translated_share = 1.0\ntranslated_variants = 2\n",
    )


def test_a_sample_is_a_function_of_seed_and_index(translated, sources):
    first = make_sample(3, sources, translated)
    again = make_sample(3, sources, translated)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.target, again.target)
    assert first.drawn.made_of.contrast.family == "translated:flair"
    assert bool(torch.isfinite(first.image).all())
    assert bool((first.target == LESION).any())


def test_a_share_of_none_leaves_every_sample_as_it_was(config, translated, sources):
    without = replace(translated, contrast=replace(translated.contrast, translated_share=0.0))
    assert draw_sample(5, sources, without).made_of.translation is None
    image = make_sample(5, sources, without).image
    assert torch.equal(image, make_sample(5, sources, config).image)


def test_what_is_kept_of_a_head_is_what_would_be_drawn(translated, sources):
    heads = Heads(sources.subjects, torch.device("cpu"))
    kept = [make_sample(index, sources, translated, heads).image for index in (1, 1, 2)]
    assert torch.equal(kept[0], kept[1])
    assert torch.equal(kept[2], make_sample(2, sources, translated).image)
    assert 1 <= len(heads.kept) <= 2


def test_a_lesion_changes_the_image_only_in_and_beside_itself(translated, sources):
    translation = Translation(translated.data.translators[0], 0, 0, 7)
    heads = Heads(sources.subjects, torch.device("cpu"))
    head = translate_head(translation, sources, translated, heads)
    weight = torch.zeros(head.image.shape)
    weight[8:12, 8:12, 8:12] = 1.0
    assert torch.equal(with_lesion(head, weight * 0, 0.2), head.image)
    image = with_lesion(head, weight, 0.2)
    changed = (image - head.image).abs() > 1e-3
    assert bool(changed[8:12, 8:12, 8:12].any())
    changed[4:16, 4:16, 4:16] = False
    assert not bool(changed.any())
    half = with_lesion(head, weight * 0.5, 0.2)
    expected = head.image + 0.5 * (image - head.image)
    inside = (slice(9, 11),) * 3
    assert torch.allclose(half[inside], expected[inside], atol=1e-3)


def test_the_lesion_is_drawn_as_the_lesion_s_class(translated, sources):
    folder = translated.data.translators[0]
    heads = Heads(sources.subjects, torch.device("cpu"))
    head = translate_head(Translation(folder, 0, 0, 7), sources, translated, heads)
    weight = torch.zeros(head.image.shape)
    weight[8:12, 8:12, 8:12] = 1.0
    labels = head.codes.clone()
    labels[(weight > 0) & (labels > 0)] = LESION_CODE
    translator = read_translator(Path(folder))
    whole = translator.draw(labels[[8, 10, 11]].to(torch.uint8), 7)
    image = with_lesion(head, weight, 0.2)
    assert torch.allclose(image[10, 9:11, 9:11], whole[1, 9:11, 9:11], atol=1e-3)
    between = (whole[0] + whole[1]) / 2
    assert torch.allclose(image[9, 9:11, 9:11], between[9:11, 9:11], atol=1e-3)


def test_two_lesions_ask_for_every_other_of_their_slices_and_for_none_between_them():
    asked = []

    class Asked:
        config = TranslatorConfig()

        def draw(self, slices, _seed):
            asked.append(len(slices))
            return 100.0 * torch.arange(len(slices))[:, None, None].expand(slices.shape)

    codes = torch.ones((40, 12, 12), dtype=torch.uint8)
    image = torch.zeros(codes.shape)
    box = (slice(0, 40), slice(0, 12), slice(0, 12))
    mixture = Mixture(codes.long(), codes.long(), torch.ones(codes.shape))
    head = TranslatedHead(box, mixture, codes, image, Asked(), 3)
    weight = torch.zeros(codes.shape)
    weight[4:9] = weight[30:32] = 1
    drawn = with_lesion(head, weight, 0.2)
    # Rows 4, 6, 8; 30, 31.
    assert asked == [5]
    middle = drawn[:, 6, 6]
    assert middle[4:9].tolist() == pytest.approx([0, 50, 100, 150, 200])
    assert middle[30:32].tolist() == pytest.approx([300, 400])


def test_the_share_and_the_translators_are_drawn_evenly(translated):
    settings = replace(
        translated,
        data=replace(translated.data, translators=("/a/one", "/a/two")),
        contrast=replace(translated.contrast, translated_share=0.4),
    )
    rng = np.random.default_rng(0)
    drawn = [draw_translation(rng, 0, settings) for _ in range(600)]
    families = [one.family for one in drawn if one is not None]
    assert len(families) / 600 == pytest.approx(0.4, abs=0.06)
    assert families.count("translated:one") / len(families) == pytest.approx(0.5, abs=0.1)
    assert len({one.seed for one in drawn if one is not None}) == 2


def test_synthesise_draws_with_it(translated, tmp_path):
    write_samples(translated, tmp_path / "out", 2, seed=None, device=torch.device("cpu"))
    assert (tmp_path / "out" / "contact_sheet.png").is_file()
    assert (tmp_path / "out" / "sample-001_target.nii.gz").is_file()


def test_what_cannot_be_is_told(data_folder, tmp_path, sources):
    def told(**sections):
        (tmp_path / "run.toml").write_text(config_text(data_folder, **sections))
        return read_config(tmp_path / "run.toml")

    with pytest.raises(UsageError, match="translated_share needs"):
        told(contrast="translated_share = 0.5\n")
    share = {"contrast": "translated_share = 1.0\n"}
    with pytest.raises(UsageError, match="knows no translated images"):
        told(data='translators = ["x"]\n', loss="soft_target = true\n", **share)
    with pytest.raises(InputNotFoundError, match="translators expects"):
        require_layout(told(data='translators = ["x"]\n', **share), "run")
    coarse = write_untrained(tmp_path / "coarse", voxel_size_mm=2.0)
    config = told(data=f'translators = ["{coarse}"]\n', **share)
    with pytest.raises(DataError, match="voxels of 2 mm, the run's are 4 mm"):
        make_sample(0, sources, config)
