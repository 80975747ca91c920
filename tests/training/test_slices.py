"""Real slices as volumes: repeated, warped in their plane, unknown outside the lesion."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from strokeseg.errors import DataError, InputNotFoundError, UsageError
from strokeseg.training.config import read_config
from strokeseg.training.data.pairs import BRAIN
from strokeseg.training.data.slices import PLANES, read_slices
from strokeseg.training.data.sources import load_sources
from strokeseg.training.synthesis.sample import (
    build_sample,
    draw_sample,
    make_sample,
    make_step,
)
from strokeseg.training.synthesis.slices import SliceParams, build_slice, draw_slices
from tests.training.heads import config_text, save
from tests.training.real_images import write_slices


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_slices(tmp_path_factory.mktemp("slices") / "slices.npz")


@pytest.fixture(scope="module")
def slices(path):
    return read_slices(str(path), ("*3",), wanted=False)


@pytest.fixture
def still(config):
    """Nothing is warped, blurred or cut."""
    return replace(
        config,
        data=replace(config.data, voxel_size_mm=2.0),
        spatial=replace(
            config.spatial, crop_vox=(40, 40, 40), rotation_deg=0.0, zoom=0.0, elastic=0.0
        ),
        slices=replace(config.slices, wander_mm=0.0, whole_share=1.0, lesion_share=1.0),
        intensity=replace(
            config.intensity,
            bias_strength=0.0,
            blur_share=0.0,
            thick_share=0.0,
            gamma_std=0.0,
            snr_minimum=500.0,
            snr_maximum=1000.0,
        ),
    )


def test_held_out_subjects_are_apart(path, slices):
    held_out = read_slices(str(path), ("*3",), wanted=True)
    assert [len(plane.images) for plane in slices] == [2, 2, 2]
    assert [len(plane.images) for plane in held_out] == [2, 2, 2]
    assert held_out[0].with_lesion.tolist() == [0]
    assert held_out[0].without.tolist() == [1]


def test_a_slice_is_repeated_along_the_axis_that_it_lacks(slices, still):
    seen = set()
    for seed in range(30):
        (params,) = draw_slices(np.random.default_rng(seed), slices, still)
        plane = slices[params.plane].plane
        image, target = build_slice(params, slices, still, torch.device("cpu"))
        axis = PLANES[plane]
        lesion = target == 5
        assert torch.equal(lesion, lesion.narrow(axis, 7, 1).expand(lesion.shape))
        spread = image.std(dim=axis)[lesion.any(dim=axis)]
        assert spread.max() < 0.1
        seen.add(plane)
    assert seen == set(PLANES)


def test_the_lesion_lies_where_the_slice_has_it_and_is_bright(slices, still):
    (params,) = draw_slices(np.random.default_rng(1), slices, still)
    image, target = build_slice(params, slices, still, torch.device("cpu"))
    lesion = target == 5
    assert image[lesion].min() > image[target == BRAIN].median() + 0.5
    axis = PLANES[slices[params.plane].plane]
    # A disc of radius 7 mm on 2 mm voxels.
    area_mm2 = 4 * int(lesion.select(axis, 20).sum())
    assert area_mm2 == pytest.approx(np.pi * 49, rel=0.15)


def test_nothing_is_known_outside_the_lesion_but_that_air_is_background(slices, still):
    (params,) = draw_slices(np.random.default_rng(2), slices, still)
    image, target = build_slice(params, slices, still, torch.device("cpu"))
    assert set(target.unique().tolist()) == {0, 5, BRAIN}
    assert image[target == 0].median() < image[target == BRAIN].median() - 1


def test_a_slab_has_its_thickness_and_air_beyond(slices, still):
    thin = replace(still, slices=replace(still.slices, whole_share=0.0))
    thicknesses = set()
    for seed in range(12):
        (params,) = draw_slices(np.random.default_rng(seed), slices, thin)
        _, target = build_slice(params, slices, thin, torch.device("cpu"))
        axis = PLANES[slices[params.plane].plane]
        others = [other for other in range(3) if other != axis]
        inside = (target != 0).any(dim=others[1]).any(dim=others[0])
        assert int(inside.sum()) == params.thickness_vox
        assert bool(inside[params.first])
        thicknesses.add(params.thickness_vox)
    assert min(thicknesses) >= 16
    assert len(thicknesses) > 3


def test_grey_levels_inside_a_lesion_are_no_coarser_than_outside(tmp_path, still):
    path = write_slices(tmp_path / "striped.npz", stripes=True)
    slices = read_slices(str(path), (), wanted=False)
    params = replace(draw_slices(np.random.default_rng(0), slices, still)[0], index=0)
    image, target = build_slice(params, slices, still, torch.device("cpu"))
    for part in (target == 5, target == BRAIN):
        assert len(image[part].unique()) > 0.9 * int(part.sum())


def test_a_sample_is_a_function_of_seed_and_index(path, data_folder, tmp_path):
    text = config_text(
        data_folder, data=f'slices = "{path}"\nheld_out_slices = ["*3"]\nslice_share = 0.6\n'
    )
    (tmp_path / "slices.toml").write_text(text)
    config = read_config(tmp_path / "slices.toml")
    sources = load_sources(config.data)
    kinds = set()
    for index in range(8):
        first, again = (make_sample(index, sources, config) for _ in range(2))
        assert torch.equal(first.image, again.image)
        assert torch.equal(first.target, again.target)
        kinds.add(isinstance(draw_sample(index, sources, config).made_of, SliceParams))
        assert build_sample(first.drawn, sources, config).image.shape == (32, 32, 32)
    assert kinds == {True, False}


def test_what_is_no_such_file_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("no slices")
    with pytest.raises(DataError, match="cannot be read as slices"):
        read_slices(str(tmp_path / "text.npz"), (), wanted=False)
    np.savez(tmp_path / "other.npz", axial=np.zeros((1, 4, 4), np.uint8))
    with pytest.raises(DataError, match="subject"):
        read_slices(str(tmp_path / "other.npz"), (), wanted=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axial": np.zeros((2, 8, 8))}, "axial is float64"),
        ({"axial": np.zeros((8, 8), np.uint8)}, "needed is uint8"),
        ({"subject": np.arange(3)}, "3 subjects for 2 axial slices"),
        ({"axial_lesion": np.zeros((2, 8, 8), np.bool_)}, "unsigned byte"),
        ({"axial_lesion": np.zeros(4, np.uint8)}, "reshape"),
    ],
)
def test_arrays_that_are_no_slices_are_refused(changes, message, tmp_path):
    right = {
        "axial": np.zeros((2, 8, 8), np.uint8),
        "axial_lesion": np.zeros(16, np.uint8),
        "subject": np.arange(2),
    }
    np.savez(tmp_path / "own.npz", **(right | changes))
    with pytest.raises(DataError, match=message):
        read_slices(str(tmp_path / "own.npz"), (), wanted=False)


def test_what_is_no_archive_or_holds_no_plane_is_refused(tmp_path):
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and then nothing")
    np.savez(tmp_path / "other.npz", axiall=np.zeros((1, 4, 4), np.uint8), subject=np.arange(1))
    for name, message in (("cut", "cannot be read as slices"), ("other", "none of the arrays")):
        with pytest.raises(DataError, match=message):
            read_slices(str(tmp_path / f"{name}.npz"), (), wanted=False)


def test_a_share_of_slices_without_slices_is_refused(make_config):
    config = make_config(data="slice_share = 0.2\n")
    with pytest.raises(UsageError, match=r"slice_share is 0\.2: name slices"):
        load_sources(config.data)


def test_another_slices_lesion_is_pasted_into_one_without(path, still):
    slices = read_slices(str(path), (), wanted=False)
    pasting = replace(
        still, slices=replace(still.slices, lesion_share=0.0, paste_share=1.0, whole_share=1.0)
    )
    (params,) = draw_slices(np.random.default_rng(0), slices, pasting)
    assert params.index == 3
    assert params.donor in (0, 1, 2)
    bright = replace(params, level=1.6)
    image, target = build_slice(bright, slices, pasting, torch.device("cpu"))
    lesion = target == 5
    assert lesion.any()
    assert image[lesion].median() > image[target == BRAIN].median() + 0.5
    none = replace(params, donor=None)
    assert not (build_slice(none, slices, pasting, torch.device("cpu"))[1] == 5).any()


def test_nothing_is_pasted_over_a_lesion_of_the_slice_itself(slices, still):
    (plane, *_) = slices
    showing = replace(plane, without=np.zeros(0, np.int64))
    pasting = replace(still, slices=replace(still.slices, lesion_share=0.0, paste_share=1.0))
    for seed in range(8):
        (params,) = draw_slices(np.random.default_rng(seed), (showing,), pasting)
        assert params.index in showing.with_lesion
        assert params.donor is None


def test_a_folder_of_pictures_reads_as_the_arrays_do(path, tmp_path):
    arrays = read_slices(str(path), (), wanted=False)
    by_plane = {group.plane: group for group in arrays}
    for number, subject in enumerate((11, 12)):
        for plane, ending in (("axial", ".png"), ("coronal", ".nii.gz")):
            group = by_plane[plane]
            stem = tmp_path / f"{subject}_{plane}"
            pictures = ((group.images[number], ""), (255 * group.lesions[number], "_mask"))
            for data, suffix in pictures:
                file = stem.with_name(stem.name + suffix + ending)
                if ending == ".png":
                    Image.fromarray(data.T[::-1].astype(np.uint8)).save(file)
                else:
                    save(file, data[:, None].astype(np.uint8), np.eye(4))
    found = {group.plane: group for group in read_slices(str(tmp_path), (), wanted=False)}
    assert set(found) == {"axial", "coronal"}
    for plane, group in found.items():
        assert np.array_equal(group.lesions, by_plane[plane].lesions[:2])
        both = group.images.ravel(), by_plane[plane].images[:2].ravel()
        assert np.corrcoef(*both)[0, 1] > 0.999
    assert len(read_slices(str(tmp_path), ("12",), wanted=True)[0].images) == 1


def test_pictures_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(DataError, match="holds no slice with a mask"):
        read_slices(str(tmp_path), (), wanted=False)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "1_axial.png")
    with pytest.raises(DataError, match="no mask beside it"):
        read_slices(str(tmp_path), (), wanted=False)
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / "1_axial_mask.png")
    with pytest.raises(DataError, match="its slice"):
        read_slices(str(tmp_path), (), wanted=False)
    (tmp_path / "1_axial_mask.png").write_text("no picture")
    with pytest.raises(DataError, match="cannot be read as a PNG"):
        read_slices(str(tmp_path), (), wanted=False)
    save(tmp_path / "2_axial.nii.gz", np.zeros((8, 8, 3), np.uint8), np.eye(4))
    save(tmp_path / "2_axial_mask.nii.gz", np.zeros((8, 8, 3), np.uint8), np.eye(4))
    (tmp_path / "1_axial.png").unlink()
    with pytest.raises(DataError, match="one slice is needed"):
        read_slices(str(tmp_path), (), wanted=False)
    (tmp_path / "2_axial.nii.gz").write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be read as a slice"):
        read_slices(str(tmp_path), (), wanted=False)
    with pytest.raises(InputNotFoundError, match="no such file of slices"):
        read_slices(str(tmp_path / "none.npz"), (), wanted=False)


def test_a_step_may_see_several_slices_of_a_plane_in_thin_crops(slices, still):
    thin = replace(still, slices=replace(still.slices, thin_share=1.0, thin_vox=8))
    drawn = draw_slices(np.random.default_rng(3), slices, thin)
    assert len(drawn) == 3
    assert len({params.plane for params in drawn}) == 1
    axis = PLANES[slices[drawn[0].plane].plane]
    for params in drawn:
        image, target = build_slice(params, slices, thin, torch.device("cpu"))
        assert image.shape == target.shape == tuple(8 if a == axis else 40 for a in range(3))


def test_steps_have_crops_of_several_sizes(data_folder, path, tmp_path):
    text = config_text(
        data_folder,
        data=f'slices = "{path}"\nheld_out_slices = ["*3"]\nslice_share = 0.5\n',
        slices="thin_share = 0.5\nthin_count = 2\nthin_vox = 8\n",
        spatial="small_share = 0.5\nsmall_crop_vox = [16, 32, 16]\n",
    )
    (tmp_path / "sizes.toml").write_text(text)
    config = read_config(tmp_path / "sizes.toml")
    sources = load_sources(config.data)
    shapes = set()
    for index in range(16):
        images, targets = make_step(index, sources, config)
        assert images.shape == (len(targets), 1, *targets.shape[1:])
        shapes.add((len(images), tuple(sorted(targets.shape[1:]))))
        again, _ = make_step(index, sources, config)
        assert torch.equal(images, again)
    whole, small, thin = (1, (32, 32, 32)), (1, (16, 16, 32)), (2, (8, 32, 32))
    assert shapes == {whole, small, thin}
