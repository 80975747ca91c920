"""Training on slices: what a step sees, the same once more, and a network that comes of it."""

from collections import deque
from dataclasses import replace

import numpy as np
import pytest
import torch

from strokeseg.engines.choice import open_engine
from strokeseg.errors import Interrupted, UsageError
from strokeseg.models.finding import load_model_files
from strokeseg.models.golden import check_golden
from strokeseg.training.config_checks import check
from strokeseg.training.data.pairs import BRAIN
from strokeseg.training.data.slices import read_slices
from strokeseg.training.export import ExportSettings, export_model
from strokeseg.training.fitting.batches import Generation
from strokeseg.training.fitting.checkpoint import load_checkpoint
from strokeseg.training.fitting.loop import Session, train
from strokeseg.training.fitting.run import build_network
from strokeseg.training.fitting.slice_batches import (
    draw_from_pool,
    make_slice_batches,
    pool_start,
    real_slices,
    sample_end,
)
from strokeseg.training.validation.scoring import module_logits
from tests.networks import closeness, random_image
from tests.training.real_images import write_slices
from tests.training.test_loop import losses, stop_after

CPU = torch.device("cpu")
GENERATION = Generation(CPU, workers=0)


@pytest.fixture(scope="module")
def planar(make_config, tmp_path_factory):
    path = write_slices(tmp_path_factory.mktemp("slices") / "slices.npz")
    config = make_config(
        top='architecture = "three-plane-unet"\n',
        data=f'slices = "{path}"\n',
        optimiser="steps = 8\nbatch = 6\n",
    )
    slices = replace(
        config.planar, every_vox=2, slices_per_sample=2, pool=4, fresh_per_step=1.5, real_slices=2
    )
    return replace(config, planar=slices)


@pytest.fixture(scope="module")
def with_slices(planar, sources):
    return replace(sources, slices=read_slices(planar.data.slices, (), wanted=False))


@pytest.fixture(scope="module")
def whole(planar, tmp_path_factory):
    """The unbroken run of 8 steps."""
    folder = tmp_path_factory.mktemp("whole")
    train(planar, folder, Session(CPU, workers=0))
    return folder


def test_a_step_has_slices_of_samples_and_then_real_ones(planar, with_slices):
    images, targets = next(make_slice_batches(with_slices, planar, 0, GENERATION))
    assert images.shape == (6 + 2, 3, 32, 32)
    assert images.dtype == torch.float32
    assert targets.shape == (6 + 2, 32, 32)
    assert set(targets[:6].unique().tolist()) <= {0, 1, 2, 3, 4, 5}
    assert set(targets[6:].unique().tolist()) <= {0, 5, BRAIN}
    assert (targets[6:] == BRAIN).any()
    none, _ = next(make_slice_batches(replace(with_slices, slices=()), planar, 0, GENERATION))
    torch.testing.assert_close(none, images[:6])


@pytest.mark.parametrize("start", [1, 3, 5])
def test_a_run_that_goes_on_at_a_step_sees_what_an_unbroken_one_would(planar, with_slices, start):
    unbroken = list(make_slice_batches(with_slices, planar, 0, GENERATION))
    again = list(make_slice_batches(with_slices, planar, start, GENERATION))
    assert len(unbroken) == 8
    assert len(again) == 8 - start
    for before, after in zip(unbroken[start:], again, strict=True):
        assert before[0].equal(after[0])
        assert before[1].equal(after[1])
    assert not unbroken[0][0].equal(unbroken[1][0])


def test_the_pool_holds_the_newest_samples_and_no_more_are_made(planar):
    assert [sample_end(step, planar) for step in range(4)] == [4, 6, 7, 9]
    assert pool_start(0, planar) == 0
    for step in range(1, 8):
        first = pool_start(step, planar)
        oldest = sample_end(step, planar) - planar.planar.pool
        assert sample_end(first, planar) > oldest
        assert first == 0 or sample_end(first - 1, planar) <= oldest


def counted(edge=8):
    """A sample whose voxels tell their place, with a lesion in one corner of it."""
    places = torch.arange(edge**3, dtype=torch.float16).reshape(edge, edge, edge)
    target = torch.zeros((edge,) * 3, dtype=torch.uint8)
    target[6:, :2, 5:7] = 5
    return places, target


def test_neighbours_are_so_far_away_along_the_plane_s_axis_and_end_with_the_volume(planar):
    pool = deque([counted()])
    config = replace(planar, optimiser=replace(planar.optimiser, batch=200))
    images, _ = draw_from_pool(np.random.default_rng(0), pool, config)
    steps = {64: 0, 8: 0, 1: 0}
    for before, here, after in images:
        ends = sorted((float((here - before)[0, 0]), float((after - here)[0, 0])), key=abs)
        step = abs(ends[1]) / planar.planar.gap_vox
        assert step in steps
        # The same distance on both sides, but for the slices next to an end.
        assert abs(ends[0]) / step in (0, 1, 2)
        steps[int(step)] += 1
    assert min(steps.values()) > 40


def test_slices_show_lesion_as_often_as_was_asked_and_image_and_target_fit(planar):
    image, target = counted()
    pool = deque([(image, target)])
    optimiser = replace(planar.optimiser, batch=200)
    for share in (0.0, 1.0):
        config = replace(
            planar, optimiser=optimiser, planar=replace(planar.planar, lesion_share=share)
        )
        images, targets = draw_from_pool(np.random.default_rng(1), pool, config)
        showing = (targets == 5).flatten(1).any(dim=1).float().mean()
        assert showing == 1 if share else 0.15 < showing < 0.4
        assert target.flatten()[images[:, 1].long()].equal(targets)


def test_the_neighbours_of_a_real_slice_are_itself_or_differ_by_noise(planar, with_slices):
    def drawn(share):
        planes = replace(planar.planar, repeated_share=share, real_slices=6)
        config = replace(planar, planar=planes)
        return real_slices(3, with_slices.slices, config, CPU)

    repeated, targets = drawn(1.0)
    assert repeated[:, 0].equal(repeated[:, 1])
    apart, same = drawn(0.0)
    assert (apart[:, 0] - apart[:, 1]).abs().amax(dim=(1, 2)).min() > 0
    assert (apart[:, 0] - apart[:, 1]).abs().mean() < apart[:, 1].std() / 2
    assert targets.equal(same)


def test_a_resumed_run_has_the_weights_of_an_unbroken_one(planar, whole, tmp_path):
    with pytest.raises(Interrupted, match="stopped at step 3"):
        train(planar, tmp_path, Session(CPU, workers=0, on_step=stop_after(3)))
    train(planar, tmp_path, Session(CPU, workers=1), resume=True)
    np.testing.assert_array_equal(losses(tmp_path), losses(whole))
    ours, theirs = (load_checkpoint(folder / "last.pt") for folder in (tmp_path, whole))
    for name, value in theirs.model.items():
        assert value.equal(ours.model[name]), name
        assert theirs.average[name].equal(ours.average[name]), name


def test_norms_are_averaged_with_the_weights(whole):
    state = load_checkpoint(whole / "last.pt")
    name = "encoder.0.first.norm.running_mean"
    assert not state.average[name].equal(state.model[name])
    assert state.average[name].abs().max() > 0


def test_the_loss_falls(planar, tmp_path):
    config = replace(planar, optimiser=replace(planar.optimiser, steps=40))
    train(config, tmp_path, Session(CPU, workers=0))
    found = losses(tmp_path)
    assert found[-8:].mean() < 0.8 * found[:4].mean(), found


def test_bf16_trains_too(planar, tmp_path):
    config = replace(planar, optimiser=replace(planar.optimiser, steps=2, precision="bf16"))
    train(config, tmp_path, Session(CPU, workers=0))
    assert np.isfinite(losses(tmp_path)).all()


def test_an_export_computes_what_the_averaged_network_does(planar, whole, tmp_path):
    made = export_model(whole / "last.pt", tmp_path / "m", ExportSettings("planes"), engine="torch")
    model = load_model_files(str(made.folder))
    assert (model.config.spec.channels, model.config.spec.every_vox) == ((6, 12, 12), 2)
    assert model.config.provenance["slices"] == 8 * 6
    engine = open_engine(model.config.spec, model.state, engine="openvino", threads=1)
    assert check_golden(model, engine).passed
    network = build_network(planar)
    network.load_state_dict(load_checkpoint(whole / "last.pt").average)
    image = random_image((16, 24, 8))
    expected = module_logits(network.eval(), CPU)(image)
    assert closeness(engine.logits(image), expected) < 2e-2


REFUSED = {
    "edges": ({"spatial": {"crop_vox": (32, 32, 40)}}, "three equal edges"),
    "stride": ({"spatial": {"crop_vox": (36, 36, 36)}}, "multiples of 8"),
    "thin": ({"slices": {"thin_share": 0.5}, "optimiser": {"batch": 1}}, "slices.thin_share be 0"),
    "soft": ({"loss": {"soft_target": True}}, "soft_target knows no slices"),
    "gap": ({"planar": {"gap_vox": 17}}, "planar.gap_vox must be 16 or less"),
    "every": ({"planar": {"every_vox": 3}}, "every_vox must be a power of two up to 8"),
    "none": ({"planar": {"every_vox": 0}}, "planar.every_vox is 0"),
    "no pool": ({"planar": {"pool": 0}}, "planar.pool is 0"),
    "nothing fresh": ({"planar": {"fresh_per_step": 0.0}}, "planar.fresh_per_step must be above"),
    "fewer than none": ({"planar": {"real_slices": -1}}, "give 0 or more"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused_by_its_key(planar, changes, message):
    sections = {name: replace(getattr(planar, name), **new) for name, new in changes.items()}
    with pytest.raises(UsageError, match=message):
        check(replace(planar, **sections), "here")
    check(planar, "here")
