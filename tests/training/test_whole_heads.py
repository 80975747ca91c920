from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from strokeseg.training.data.real_scans import COLUMNS
from strokeseg.training.data.sources import load_sources
from strokeseg.training.synthesis.sample import draw_synthetic
from strokeseg.training.validation.whole_heads import (
    CUTS,
    MODALITIES,
    STAGES,
    cut_box,
    draw_whole_head,
    in_sequence,
)
from strokeseg.training.validation.whole_scans import (
    FREE_SLICES,
    SEVERAL,
    SINGLE,
    SLICES,
    Sizes,
    free_scans,
    slice_slabs,
    validation_scans,
)
from tests.training.real_images import write_slices


@pytest.fixture(scope="module")
def head(sources, config):
    return draw_whole_head(0, ("T1w", "DWI"), "chronic", sources, config)


def test_a_head_is_one_in_every_sequence(head, sources, config):
    assert set(head.images) == {"T1w", "DWI"}
    shapes = {image.shape for image in head.images.values()}
    assert shapes == {head.grid.shape} == {head.lesion.shape} == {head.brain.shape}
    again = draw_whole_head(0, ("T1w", "DWI"), "chronic", sources, config)
    for name, image in head.images.items():
        np.testing.assert_array_equal(again.images[name], image)
    assert (head.lesion & head.brain).sum() > 0.5 * head.lesion.sum()


def test_a_blind_sequence_shows_no_lesion_and_the_truth_has_it(sources, config):
    assert "DWI" not in STAGES["chronic"]
    head = draw_whole_head(0, ("DWI", "T1w"), "chronic", sources, config)
    assert head.blind == {"DWI"}
    assert head.lesion.any()
    rng = np.random.default_rng(0)
    drawn = draw_synthetic(rng, sources, config)
    drawn = replace(drawn, placements=drawn.placements or (None,))
    blind, sees = in_sequence(rng, drawn, "DWI", (), sources, config)
    assert (blind.placements, sees) == ((), False)
    seen, sees = in_sequence(rng, drawn, "DWI", ("acute",), sources, config)
    assert sees
    assert seen.placements == drawn.placements
    assert seen.contrast.stage == "acute"


def test_stages_name_sequences_and_stages_of_the_contrast_table(sources):
    table = {s.name: {stage.name for stage in s.stages} for s in sources.sequences}
    for shown in STAGES.values():
        for family, stages in shown.items():
            assert family in MODALITIES
            assert set(stages) <= table[family]


@pytest.mark.parametrize("cut", sorted(set(CUTS)))
def test_fields_of_view_are_cut_at_the_height_that_they_say(cut):
    rng = np.random.default_rng(0)
    head = np.zeros((60, 70, 100), bool)
    head[10:50, 10:60, 5:95] = True
    brain = np.zeros_like(head)
    brain[15:45, 15:55, 50:90] = True
    for _ in range(20):
        box = cut_box(rng, cut, head, brain)
        shown = brain[box].sum() / brain.sum()
        if cut in ("whole", "neck", "chin"):
            assert shown == 1
        else:
            assert 0.1 < shown < 1
        assert box[0].start <= 10
        assert box[0].stop >= 50
    assert cut_box(rng, "whole", head, brain)[2].start == 5


def test_drawn_cases_are_single_and_several_with_their_truth(sources, config, tmp_path):
    cases = list(validation_scans(sources, config, tmp_path, Sizes(2, 1, 0, 0)))
    assert [case.group for case in cases] == [SINGLE, SINGLE, SEVERAL]
    assert len(cases[2].scans) == 3
    for case in cases:
        for volume in case.scans.values():
            assert case.truth is None or volume.grid.shape == case.truth.shape


def test_real_scans_are_those_kept_for_validation(config, tmp_path):
    from tests.training.heads import save

    data = np.random.default_rng(0).random((20, 20, 20), dtype=np.float32)
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    for name in ("elderly-01_T1w", "elderly-19_T1w", "elderly-19_FLAIR", "elderly-19_wmh"):
        save(tmp_path / "elderly" / f"{name}.nii.gz", data, affine)
    save(tmp_path / "healthy_dwi" / "canon-11000_dwi.nii.gz", data, affine)
    save(tmp_path / "healthy_dwi" / "canon-3000_dwi.nii.gz", data, affine)
    cases = list(free_scans(tmp_path, config))
    assert [(case.name, case.group) for case in cases] == [
        ("elderly-19_FLAIR", "no stroke, FLAIR"),
        ("elderly-19_T1w", "no stroke, T1w"),
        ("elderly-19_flair+t1", "no stroke, several sequences"),
        ("canon-11000_dwi", "no stroke, DWI"),
    ]
    assert all(case.truth is None for case in cases)


def test_ones_own_held_out_scans_are_used_wherever_they_lie_and_once(make_config, tmp_path):
    from tests.training.heads import save

    data = np.random.default_rng(0).random((20, 20, 20), dtype=np.float32)
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    names = ("p1_T1w", "p1_FLAIR", "p2_T1w", "p3_PD")
    images = [tmp_path / "mine" / f"{name}.nii.gz" for name in names]
    images.append(tmp_path / "ours" / "elderly" / "elderly-19_T1w.nii.gz")
    for image in images:
        save(image, data, affine)
    lines = ["\t".join(COLUMNS)]
    lines += [f"{i}\t{i.name.split('.')[0].split('_')[1]}\t{i}\tmuse" for i in images]
    (tmp_path / "scans.tsv").write_text("\n".join(lines) + "\n")
    held_out = 'held_out_scans = ["p1*", "p3*", "elderly*"]'
    config = make_config(data=f'scans = "{tmp_path / "scans.tsv"}"\n{held_out}\n')
    cases = list(free_scans(tmp_path / "ours", config))
    assert [(case.name, case.group) for case in cases] == [
        ("elderly-19_T1w", "no stroke, T1w"),
        ("p1_T1w", "no stroke, T1w"),
        ("p1_FLAIR", "no stroke, FLAIR"),
        ("p1_t1+flair", "no stroke, several sequences"),
    ]


def test_ones_own_slices_are_used_where_ours_are_not(make_config, tmp_path):
    slices = write_slices(tmp_path / "slices.npz")
    config = make_config(data=f'slices = "{slices}"\nheld_out_slices = ["12", "23"]\n')
    held_out = load_sources(config.data, held_out=True)
    cases = list(validation_scans(held_out, config, tmp_path, Sizes(0, 0, 2, 3)))
    assert [(case.name, case.group) for case in cases] == [
        ("12 sagittal", SLICES),
        ("23 sagittal", FREE_SLICES),
        ("12 coronal", SLICES),
        ("23 coronal", FREE_SLICES),
        ("23 axial", FREE_SLICES),
    ]
    for case in cases:
        assert (case.truth is not None and case.truth.any()) == (case.group == SLICES)


def test_slices_are_slabs_of_held_out_subjects(tmp_path):
    rng = np.random.default_rng(0)
    shapes = {"axial": (157, 189), "coronal": (157, 136), "sagittal": (189, 136)}
    arrays = {"subject": np.array([3, 4, 13, 23])}
    for plane, shape in shapes.items():
        arrays[plane] = rng.integers(0, 200, (4, *shape)).astype(np.uint8)
        lesion = np.zeros((4, *shape), bool)
        lesion[0, 40:60, 40:60] = True
        arrays[f"{plane}_lesion"] = np.packbits(lesion)
    (tmp_path / "flair_slices").mkdir()
    np.savez(tmp_path / "flair_slices" / "soop-flair-slices.npz", **arrays)
    cases = list(slice_slabs(tmp_path, 2.0, Sizes(0, 0, 9, 9)))
    assert {case.name.split()[0] for case in cases} == {"soop-3", "soop-13", "soop-23"}
    for case in cases:
        assert case.group == (SLICES if case.name.startswith("soop-3 ") else FREE_SLICES)
        assert case.truth is None or case.truth.any()
        assert 30 in case.scans["flair"].grid.shape
