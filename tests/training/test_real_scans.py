"""Real scans without stroke: read with their tissues, and lesions pasted onto them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from strokeseg.errors import DataError, UsageError
from strokeseg.training.config import read_config
from strokeseg.training.data.label_table import LESION, TISSUES, read_table
from strokeseg.training.data.pairs import BRAIN, UNKNOWN
from strokeseg.training.data.real_scans import labelled_subjects, read_real_scan, scan_rows
from strokeseg.training.data.slices import slice_subjects
from strokeseg.training.data.sources import load_sources
from strokeseg.training.data.unmatched import unmatched
from strokeseg.training.settings import DataConfig
from strokeseg.training.synthesis.painting import LesionTexture
from strokeseg.training.synthesis.pasting import (
    ScanParams,
    build_scan,
    draw_scan,
    lesion_levels,
    paste,
)
from strokeseg.training.synthesis.sample import draw_sample
from tests.training.heads import config_text
from tests.training.real_images import write_scans, write_slices


@pytest.fixture(scope="module")
def table_path(tmp_path_factory):
    return write_scans(tmp_path_factory.mktemp("scans"))


@pytest.fixture(scope="module")
def real_config(table_path, data_folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "scans.toml"
    path.write_text(config_text(data_folder, data=f'scans = "{table_path}"\nscan_share = 0.5\n'))
    return read_config(path)


@pytest.fixture(scope="module")
def real_sources(real_config):
    return load_sources(real_config.data)


@pytest.fixture(scope="module")
def scans(real_sources):
    return {scan.name: scan for scan in real_sources.scans}


@pytest.fixture
def still(real_config):
    return replace(
        real_config,
        spatial=replace(
            real_config.spatial,
            rotation_deg=0.0,
            zoom=0.0,
            shear=0.0,
            elastic=0.0,
            wander_vox=(0.0, 0.0, 0.0),
            flip_probability=(0.0, 0.0, 0.0),
        ),
        intensity=replace(
            real_config.intensity,
            bias_strength=0.0,
            blur_share=0.0,
            thick_share=0.0,
            gamma_std=0.0,
            snr_minimum=500.0,
            snr_maximum=1000.0,
            strip_share=0.0,
        ),
    )


def test_both_kinds_of_labels_give_the_medians_of_the_tissues(scans):
    for scan in scans.values():
        csf, grey, white = scan.medians
        assert csf == pytest.approx(30, abs=4)
        assert grey == pytest.approx(60, abs=4)
        assert white == pytest.approx(100, abs=4)
        assert 0 < scan.brain.mean() < 1


def test_known_labels_are_the_target_and_a_models_own_are_not(scans):
    known = set(np.unique(scans["old-1_T1w"].target).tolist())
    assert known == set(range(len(TISSUES)))
    assert set(np.unique(scans["old-2_T1w"].target).tolist()) <= {0, BRAIN, UNKNOWN}
    assert (scans["old-2_T1w"].target[scans["old-2_T1w"].brain] == BRAIN).all()


def test_label_maps_of_scans_are_heads_to_draw_and_carry_hyperintensities(real_sources):
    names = [subject.name for subject in real_sources.subjects]
    assert names == ["head-1", "old-1_labels"]
    bright = real_sources.table.ageing.hyperintensity
    assert (real_sources.subjects[1].first == bright).sum() > 20
    assert (real_sources.subjects[0].first == bright).sum() == 0


def test_a_scan_without_placements_stays_as_it_is(real_sources, still):
    params = draw_scan(np.random.default_rng(0), real_sources, still)
    bare = replace(params, placements=(), cut=type(params.cut)())
    image, target = build_scan(bare, real_sources, still, torch.device("cpu"))
    assert image.shape == target.shape == (32, 32, 32)
    assert not (target == LESION).any()


def test_a_pasted_lesion_is_in_the_target_and_changes_the_scan_there_alone(real_sources, still):
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        params = draw_scan(rng, real_sources, still)
        if not params.placements:
            continue
        params = replace(params, cut=type(params.cut)())
        scan = real_sources.scans[params.scan]
        bare = replace(params, placements=())
        with_lesion = build_scan(params, real_sources, still, torch.device("cpu"))
        without = build_scan(bare, real_sources, still, torch.device("cpu"))
        lesion = with_lesion[1] == LESION
        if not lesion.any():
            continue
        found += 1
        kept = with_lesion[1] != LESION
        assert torch.equal(with_lesion[1][kept], without[1][kept])
        assert scan.sequence == "T1w"
        assert params.contrast.family == "T1w"
    assert found > 5


def test_lesion_levels_lie_to_the_tissues_as_the_contrast_has_them(real_sources):
    names = real_sources.table.class_names
    means = np.zeros(len(names) + 2, np.float32)
    for name, mean in {"ventricle": 20, "cortex": 60, "white_matter": 100}.items():
        means[names.index(name)] = mean
    means[-2:] = 40, 80
    contrast = replace(draw_contrast_of(real_sources), means=means)
    assert lesion_levels(contrast, names, (20, 60, 100)) == pytest.approx((40, 80))
    assert lesion_levels(contrast, names, (200, 600, 1000)) == pytest.approx((400, 800))
    # A scan whose tissues are in another order: white matter alone decides.
    assert lesion_levels(contrast, names, (100, 60, 20)) == pytest.approx((8, 16))


def draw_contrast_of(sources):
    from strokeseg.training.settings import ContrastConfig
    from strokeseg.training.synthesis.contrasts import draw_contrast

    rng = np.random.default_rng(0)
    return draw_contrast(rng, len(sources.table.class_names), sources.sequences, ContrastConfig())


def test_pasting_keeps_the_fine_texture_of_the_scan():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((24, 24, 24), generator=generator)
    image = 100 + noise
    weight = torch.zeros_like(image)
    weight[6:18, 6:18, 6:18] = 1
    texture = LesionTexture(np.zeros((4, 4, 4), np.float32), 0.0)
    pasted = paste(image, weight, (200.0, 200.0), texture)
    inside = weight > 0
    assert pasted[inside].mean() == pytest.approx(200, abs=1)
    both = torch.stack((pasted[inside] - 200, noise[inside]))
    assert torch.corrcoef(both)[0, 1] > 0.8
    assert torch.equal(pasted[~inside], image[~inside])


def test_scans_are_drawn_by_their_share(real_sources, real_config):
    kinds = [
        isinstance(draw_sample(index, real_sources, real_config).made_of, ScanParams)
        for index in range(40)
    ]
    assert 8 < sum(kinds) < 32


def test_held_out_scans_are_apart(table_path):
    training = scan_rows(str(table_path), ("old-2*",), wanted=False)
    held_out = scan_rows(str(table_path), ("old-2*",), wanted=True)
    assert [row.name for row in training] == ["old-1_T1w"]
    assert [row.name for row in held_out] == ["old-2_T1w"]


def test_a_sequence_that_is_in_no_table_is_refused_by_name(table_path, real_config):
    other = table_path.with_name("other.tsv")
    other.write_text(table_path.read_text().replace("T1w\t", "T1W\t"))
    data = replace(real_config.data, scans=str(other))
    with pytest.raises(UsageError, match=r"old-1_T1w is called 'T1W'; the table .* has T1w, T2w"):
        load_sources(data)


def test_names_that_hold_nothing_out_are_told(real_config, tmp_path):
    slices = write_slices(tmp_path / "slices.npz")
    subject = min(slice_subjects(str(slices)))
    data = replace(
        real_config.data,
        slices=str(slices),
        held_out_slices=(subject, "nobody-*"),
        held_out_scans=("old-2*", "odl-1*"),
        held_out_maps=("head-2", "haed-1"),
        held_out_pairs=("of-no-folder",),
    )
    assert unmatched(data) == (
        "held_out_maps: 'haed-1'",
        "held_out_scans: 'odl-1*'",
        "held_out_slices: 'nobody-*'",
    )
    assert unmatched(replace(real_config.data, held_out_maps=DataConfig().held_out_maps)) == ()


def test_a_table_of_other_classes_is_refused(table_path, tmp_path):
    rows = scan_rows(str(table_path), (), wanted=False)
    text = 'classes.air = { labels = [0], tissue = "background" }\n'
    text += 'classes.rest = { labels = [1], tissue = "GM" }\n'
    text += '[partial_volume]\ngrey = ["rest"]\nwhite = ["rest"]\nname = "mixed"\n'
    text += 'tissue = "GM/WM"\nsigma_mm = 0.7\n'
    (tmp_path / "own.toml").write_text(text)
    other = replace(rows[0], label_table=str(tmp_path / "own.toml"))
    with pytest.raises(DataError, match="not those of the heads' table"):
        labelled_subjects((other,), read_table(), 4.0)


def test_labels_with_hardly_any_brain_are_refused(table_path):
    rows = scan_rows(str(table_path), (), wanted=False)
    empty = replace(rows[1], labels=rows[0].hyperintensities)
    with pytest.raises(DataError):
        read_real_scan(empty, {}, read_table(), 4.0)


def test_the_two_bundled_tables_have_the_same_classes_in_the_same_order():
    freesurfer, muse = read_table(), read_table("muse")
    assert muse.class_names == freesurfer.class_names
    assert muse.tissue_of_class == freesurfer.tissue_of_class
    assert not set(muse.class_of_label.values()) - set(freesurfer.class_of_label.values())


def test_a_pasted_lesion_that_cannot_be_seen_is_none_to_the_target(real_sources, still):
    strict = replace(still, lesion=replace(still.lesion, least_visible=1.0))
    seen = 0
    for seed in range(20):
        params = draw_scan(np.random.default_rng(seed), real_sources, still)
        image, target = build_scan(params, real_sources, still, torch.device("cpu"))
        same, without = build_scan(params, real_sources, strict, torch.device("cpu"))
        assert torch.equal(image, same)
        lesion = target == LESION
        assert torch.equal(target[~lesion], without[~lesion])
        seen += int(lesion.any() and not (without == LESION).any())
    assert seen > 3
