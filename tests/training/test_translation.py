"""Networks that draw scans from labels: shapes, repeatability, labels that are followed, files."""

import json

import numpy as np
import pytest
import torch

from strokeseg.errors import DataError, InputNotFoundError, UsageError
from strokeseg.training.fitting.loop import Session
from strokeseg.training.fitting.translators import train_translator
from strokeseg.training.translation.adversary import FakePool
from strokeseg.training.translation.classes import LESION, NAMES, one_hot
from strokeseg.training.translation.generators import build_generator
from strokeseg.training.translation.objectives import (
    TranslatorTask,
    class_greys,
    grey_distance,
)
from strokeseg.training.translation.pairs import draw_batch, read_pairs
from strokeseg.training.translation.settings import (
    KINDS,
    TranslatorConfig,
    bundled_configs,
    read_translator_config,
)
from strokeseg.training.translation.translator import RECORD, WEIGHTS, read_translator
from tests.training.heads import save

GREYS = (0, 120, 140, 160, 40, 220, 250)
SESSION = Session(torch.device("cpu"))


def made_labels(count=4, shape=(40, 36)):
    """Discs of three tissues, with a lesion that moves."""
    a, b = np.ogrid[: shape[0], : shape[1]]
    radius = np.hypot((a - shape[0] / 2) / 16, (b - shape[1] / 2) / 15)
    labels = np.select([radius < 0.35, radius < 0.7, radius < 1], [4, 3, 1], 0)
    labels = np.repeat(labels[None], count, axis=0).astype(np.uint8)
    for number in range(count):
        spot = np.hypot(a - 14 - 3 * number, b - 12) < 4
        labels[number][spot & (labels[number] > 0)] = LESION
    return labels


def write_labelled(path, **more):
    labels = made_labels()
    images = np.asarray(GREYS, np.uint8)[labels]
    arrays = {"axial": images, "axial_labels": labels, "axial_subject": [11, 12, 13, 23]}
    np.savez(path, **(arrays | more))
    return path


def config_of(folder, kind="spade", **more):
    write_labelled(folder / "slices.npz")
    text = f"""name = "tiny"
kind = "{kind}"
checkpoint_steps = 3
[data]
slices = "slices.npz"
edge_vox = 48
shift_vox = 2
held_out = ["*3"]
[generator]
channels = [6, 8, 8]
label_channels = 6
noise_channels = 2
[adversary]
channels = [4, 6]
pool = 3
[fit]
steps = {more.get("steps", 6)}
batch = 2
learning_rate = {more.get("rate", 2e-3)}
precision = "fp32"
"""
    path = folder / "tiny.toml"
    path.write_text(text + more.get("text", ""))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("translation")


@pytest.mark.parametrize("kind", KINDS)
def test_a_map_becomes_an_image_of_its_shape_the_same_for_the_same_seed(kind):
    config = TranslatorConfig(kind=kind)
    torch.manual_seed(0)
    generator = build_generator(config)
    labels = torch.from_numpy(made_labels(2, (48, 40)))
    images = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        noise = generator.noise(2, (48, 40), torch.Generator().manual_seed(seed))
        images.append(generator(labels, noise))
    assert images[0].shape == (2, 1, 48, 40)
    assert float(images[0].detach().abs().max()) <= 1
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_goes_on_as_if_it_had_not_been(kind, tmp_path):
    config = read_translator_config(config_of(tmp_path, kind))
    train_translator(config, tmp_path / "whole", SESSION)

    def break_off(step, _loss):
        if step == 5:  # the last checkpoint is that of step 3
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_translator(config, tmp_path / "two", Session(torch.device("cpu"), on_step=break_off))
    steps = []
    heard = Session(torch.device("cpu"), on_step=lambda step, _loss: steps.append(step))
    train_translator(config, tmp_path / "two", heard, resume=True)
    assert steps == [4, 5, 6]
    first, second = (read_translator(tmp_path / name) for name in ("whole", "two"))
    for name, tensor in first.generator.state_dict().items():
        assert torch.allclose(tensor, second.generator.state_dict()[name], atol=1e-6), name
    assert len((tmp_path / "two" / "loss.tsv").read_text().splitlines()) == 7


def test_spade_follows_the_labels(tmp_path):
    config = read_translator_config(config_of(tmp_path, steps=70, rate=1e-2))
    train_translator(config, tmp_path / "run", SESSION)
    translator = read_translator(tmp_path / "run")
    labels = torch.from_numpy(made_labels(1))
    swapped = labels.clone()
    swapped[labels == 3], swapped[labels == 4] = 4, 3
    before, after = translator.draw(labels, 1), translator.draw(swapped, 1)
    white, fluid = labels == 3, labels == 4
    assert float(before[white].mean()) > float(before[fluid].mean()) + 30
    assert float(after[fluid].mean()) > float(after[white].mean()) + 30
    assert float(before[labels == LESION].mean()) > float(before[white].mean()) + 20
    assert float(before[labels == 0].max()) == 0


def test_a_scan_is_the_mean_of_three_planes_and_leaves_the_random_state_alone(folder):
    config = read_translator_config(config_of(folder))
    train_translator(config, folder / "run", SESSION)
    translator = read_translator(folder / "run")
    labels = torch.zeros((14, 12, 10), dtype=torch.uint8)
    labels[3:11, 2:10, 2:8] = 3
    state = torch.get_rng_state()
    scan = translator.draw_scan(labels, 5)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(scan, translator.draw_scan(labels, 5))
    assert scan.shape == labels.shape
    assert float(scan[labels == 0].max()) == 0
    assert float(scan[labels > 0].min()) > 0


def made_scans(folder, count=3):
    """A person's folder of balls in balls, with a lesion."""
    i, j, k = np.ogrid[:24, :26, :22]
    for number in range(count):
        away = np.sqrt((i - 12) ** 2 + (j - 13) ** 2 + (k - 11) ** 2)
        labels = np.select([away < 4, away < 7, away < 10], [4, 3, 1], 0).astype(np.uint8)
        labels[8 + number : 11 + number, 8:11, 9:12] = LESION
        image = np.asarray(GREYS, np.float32)[labels]
        affine = np.diag([2.0, 2, 2, 1])
        save(folder / "own" / f"sub-{number}.nii.gz", image, affine)
        save(folder / "own" / f"sub-{number}_labels.nii.gz", labels, affine)


@pytest.mark.parametrize("kind", KINDS)
def test_a_translator_of_three_axes_learns_whole_scans_and_draws_them(kind, tmp_path):
    made_scans(tmp_path)
    path = config_of(tmp_path, kind, steps=2, text="")
    text = path.read_text().replace('slices = "slices.npz"', 'pairs = "own"')
    path.write_text("dimensions = 3\n" + text.replace("edge_vox = 48", "edge_vox = 32"))
    config = read_translator_config(path)
    pairs = read_pairs(config.data, dimensions=3)
    assert pairs.images.shape == (3, 32, 32, 32)
    assert set(pairs.planes) == {"scan"}
    train_translator(config, tmp_path / "run", SESSION)
    translator = read_translator(tmp_path / "run")
    labels = torch.from_numpy(pairs.labels[0, :30, :29])
    scan = translator.draw_scan(labels, 5)
    assert scan.shape == labels.shape
    assert torch.equal(scan, translator.draw_scan(labels, 5))
    assert not torch.equal(scan, translator.draw_scan(labels, 6))
    assert float(scan[labels == 0].max()) == 0
    assert float(scan[labels > 0].min()) > 0
    with pytest.raises(DataError, match="draws images of 3 axes alone"):
        translator.draw(labels, 5)


def test_the_pool_gives_old_fakes_back():
    pool, rng = FakePool(2), np.random.default_rng(0)
    first = pool.exchange(torch.full((2, 1, 1, 1), 1.0), rng)
    assert first.unique().tolist() == [1]
    shown = torch.cat([pool.exchange(torch.full((4, 1, 1, 1), v), rng) for v in (2.0, 3.0)])
    assert {1.0, 2.0, 3.0} & set(shown.flatten().tolist()) >= {1.0, 2.0}
    again = FakePool(2)
    again.restore(pool.state())
    assert torch.equal(again.state(), pool.state())


def test_the_mean_grey_of_each_class_is_held_to_that_of_all_images(folder):
    pairs = read_pairs(read_translator_config(config_of(folder)).data)
    greys = class_greys(pairs)
    known = one_hot(torch.from_numpy(pairs.labels))
    images = torch.from_numpy(pairs.images).float()[:, None] / 127.5 - 1
    assert float(grey_distance(images, known, greys)) == pytest.approx(0, abs=1e-5)
    swapped = images.clone()
    white, fluid = (torch.from_numpy(pairs.labels == code)[:, None] for code in (3, 4))
    swapped[white], swapped[fluid] = greys[4], greys[3]
    present = len(np.unique(pairs.labels))
    expected = 2 * float((greys[3] - greys[4]).abs()) / present
    assert float(grey_distance(swapped, known, greys)) == pytest.approx(expected, abs=1e-4)


def test_held_out_subjects_are_never_drawn(folder):
    config = read_translator_config(config_of(folder)).data
    assert set(read_pairs(config).subjects) == {"11", "12"}
    assert set(read_pairs(config, wanted=True).subjects) == {"13", "23"}


def test_a_persons_own_folder_is_cut_into_slices(tmp_path):
    labels = np.zeros((24, 26, 22), np.int16)
    labels[4:20, 4:22, 4:18] = 41
    labels[8:12, 8:12, 8:12] = 4
    affine = np.diag([2, 2, 2, 1])
    save(tmp_path / "own" / "sub-1.nii.gz", (labels * 2.0).astype(np.float32), affine)
    save(tmp_path / "own" / "sub-1_labels.nii.gz", labels, affine)
    text = '[data]\npairs = "own"\nlabel_table = "freesurfer"\nedge_vox = 64\n'
    (tmp_path / "own.toml").write_text(text)
    pairs = read_pairs(read_translator_config(tmp_path / "own.toml").data)
    assert set(pairs.planes) == {"axial", "coronal", "sagittal"}
    assert set(np.unique(pairs.labels)) == {0, 3, 4}
    bright, dark = (float(pairs.images[pairs.labels == code].mean()) for code in (3, 4))
    assert bright > dark
    known, images = draw_batch(
        pairs, read_translator_config(tmp_path / "own.toml").data, 3, np.random.default_rng(1)
    )
    assert known.shape == (3, 64, 64)
    assert images.shape == (3, 1, 64, 64)


def test_bundled_translators_can_be_read():
    assert bundled_configs(TranslatorConfig) == ("flair-cyclegan", "flair-pix2pix", "flair-spade")
    for name in bundled_configs(TranslatorConfig):
        assert read_translator_config(name).name == name


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('kind = "vae"\n[data]\nslices = "x"', "kind is 'vae'"),
        ('[data]\nslices = ""', "names no slices"),
        ('dimensions = 4\n[data]\nslices = "x"', "dimensions is 4"),
        ('dimensions = 3\n[data]\nslices = "x"', "learns from no data.slices"),
        ('[data]\nslices = "x"\nedge_vox = 50', "edge_vox must be a multiple"),
        ('[data]\nslices = "x"\n[generator]\ndropout = 1.0', "dropout is 1"),
        ('[data]\nslices = "x"\n[fit]\nsteps = 0', "steps"),
        ('[data]\nslices = "x"\n[fit]\nprecision = "int8"', "precision is 'int8'"),
        ("[data]\ncolour = 3", "unknown key 'colour'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(text, told, tmp_path):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(UsageError, match=told):
        read_translator_config(tmp_path / "bad.toml")


def test_labels_that_no_table_names_are_told(folder):
    config = read_translator_config(config_of(folder)).data
    labels = made_labels()
    labels[0, 20, 20] = len(NAMES)
    write_labelled(folder / "slices.npz", axial_labels=labels)
    with pytest.raises(DataError, match=f"label {len(NAMES)} is none of the translator's"):
        read_pairs(config)


def test_maps_and_images_on_different_grids_are_told(tmp_path):
    labels = np.ones((20, 20, 20), np.uint8)
    save(tmp_path / "own" / "a.nii.gz", labels.astype(np.float32), np.diag([2.0, 2, 2, 1]))
    save(tmp_path / "own" / "a_labels.nii.gz", labels, np.diag([3.0, 2, 2, 1]))
    (tmp_path / "own.toml").write_text('[data]\npairs = "own"\n')
    with pytest.raises(DataError, match="is not on the grid of"):
        read_pairs(read_translator_config(tmp_path / "own.toml").data)
    (tmp_path / "own" / "a_labels.nii.gz").unlink()
    with pytest.raises(DataError, match="no a_labels"):
        read_pairs(read_translator_config(tmp_path / "own.toml").data)


def test_one_slice_alone_is_too_few(folder):
    labels = made_labels(1)
    write_labelled(
        folder / "slices.npz",
        axial=np.asarray(GREYS, np.uint8)[labels],
        axial_labels=labels,
        axial_subject=[11],
    )
    with pytest.raises(DataError, match="holds 1 labelled slices"):
        read_pairs(read_translator_config(folder / "tiny.toml").data)


def test_missing_slices_are_told(folder):
    config = read_translator_config(config_of(folder)).data
    (folder / "slices.npz").unlink()
    with pytest.raises(InputNotFoundError, match="slice_labels writes it"):
        read_pairs(config)


def test_a_checkpoint_of_another_kind_is_refused(tmp_path):
    train_translator(read_translator_config(config_of(tmp_path)), tmp_path / "run", SESSION)
    other = read_translator_config(config_of(tmp_path, "pix2pix"))
    with pytest.raises(DataError, match="another kind"):
        train_translator(other, tmp_path / "run", SESSION, resume=True)


def test_a_translator_of_other_labels_is_refused(tmp_path):
    with pytest.raises(InputNotFoundError, match="holds no translator"):
        read_translator(tmp_path)
    train_translator(read_translator_config(config_of(tmp_path)), tmp_path / "run", SESSION)
    record = json.loads((tmp_path / "run" / RECORD).read_text())
    record["classes"][1] = "putamen"
    (tmp_path / "run" / RECORD).write_text(json.dumps(record))
    with pytest.raises(DataError, match="draws from background, putamen"):
        read_translator(tmp_path / "run")
    record["classes"] = NAMES
    record["configuration"]["generator"]["channels"] = [4, 4]
    (tmp_path / "run" / RECORD).write_text(json.dumps(record))
    with pytest.raises(DataError, match="another network"):
        read_translator(tmp_path / "run")
    assert (tmp_path / "run" / WEIGHTS).is_file()


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_gives_finite_losses(kind, tmp_path):
    config = read_translator_config(config_of(tmp_path, kind))
    losses = TranslatorTask(config, read_pairs(config.data)).step(0)
    assert list(losses) == ["loss", "l1", "adversarial", "judging"]
    assert all(np.isfinite(value) for value in losses.values())
