"""A second stage in training: what it is shown, what it is asked for, and a model at the end."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from strokeseg import Options, load_model, predict
from strokeseg.cli import run
from strokeseg.engines.scan import lesion_maps
from strokeseg.errors import DataError, UsageError
from strokeseg.images.intensity import normalise
from strokeseg.models.folder import read_model_folder
from strokeseg.network.half_spec import HalfSpec
from strokeseg.network.torch_half import HalfUNet
from strokeseg.prediction import scans
from strokeseg.prediction.second_channels import ODDS_SCALE
from strokeseg.prediction.second_stage import Again
from strokeseg.space.resample import resample_logits
from strokeseg.training.data.label_table import LESION
from strokeseg.training.data.sources import load_sources
from strokeseg.training.fitting.loop import Session
from strokeseg.training.fitting.stage_two import train_stage_two
from strokeseg.training.fitting.stage_two_task import stage_loss, start_silent, uncorrected
from strokeseg.training.stage_two import samples as drawing
from strokeseg.training.stage_two.samples import (
    CORE,
    RIM,
    StageSample,
    StageSamples,
    draw_crop,
    parted,
    signed_distance,
    stage_sample,
)
from strokeseg.training.stage_two.settings import (
    CropConfig,
    ObjectiveConfig,
    bundled_stage_configs,
    read_stage_two_config,
    samples_config,
)
from tests.factories import KINDS, scan_image
from tests.tiny_models import OWN, tiny_files, write_files
from tests.two_stages import two_stage_model

CPU = Session(torch.device("cpu"))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Give the smoke configuration with a first stage of a few kilobytes."""
    own = OWN | {"voxel_size_mm": 4.0, "window": 16, "normalisation": "foreground"}
    own |= {"lesion_offsets": {"t1": 1.0}}
    folder = write_files(tmp_path_factory.mktemp("first") / "tiny", tiny_files(own, seed=3))
    return replace(read_stage_two_config("smoke"), first=str(folder))


@pytest.fixture(scope="module")
def first(config):
    return load_model(config.first, stages=1)


@pytest.fixture(scope="module")
def samples(config, first):
    settings = samples_config(config)
    return StageSamples(config, settings, lambda: load_sources(settings.data), first)


def test_distances_are_from_the_edge_and_clipped():
    lesion = np.zeros((9, 9, 9), bool)
    lesion[3:6, 3:6, 3:6] = True
    distance = signed_distance(lesion, 2.0, 5.0)
    assert distance[4, 4, 4] == 3.0
    assert distance[3, 4, 4] == 1.0
    assert distance[2, 4, 4] == -1.0
    assert distance[0, 0, 0] == -5.0
    assert (signed_distance(np.zeros((4, 4, 4), bool), 1.0, 10.0) == -10).all()


def test_the_rim_is_what_lies_near_the_edge():
    lesion = np.zeros((12, 12, 12), bool)
    lesion[2:10, 2:10, 2:10] = True
    parts = parted(lesion, signed_distance(lesion, 1.0, 10.0), rim_mm=2.0)
    assert np.array_equal(parts > 0, lesion)
    assert (parts[4:8, 4:8, 4:8] == CORE).all()
    assert np.count_nonzero(parts == CORE) == 4**3
    assert np.count_nonzero(parts == RIM) == 8**3 - 4**3


def test_samples_are_those_of_the_first_stages_training_in_small_voxels():
    coarse = read_stage_two_config("smoke")
    fine = samples_config(replace(coarse, voxel_size_mm=1.0))
    plain = samples_config(replace(coarse, voxel_size_mm=4.0))
    assert fine.data.voxel_size_mm == 1.0
    assert fine.intensity.thickness_limit_vox == 4 * plain.intensity.thickness_limit_vox
    assert fine.spatial.wander_vox[0] == 4 * plain.spatial.wander_vox[0]
    assert fine.spatial.crop_vox == (coarse.crops.canvas_vox,) * 3
    mixed = samples_config(replace(coarse, samples="synth-open-mixed"))
    assert mixed.data.scan_share > 0
    assert mixed.data.slice_share == mixed.data.real_share == 0
    assert mixed.slices.thin_share == mixed.spatial.small_share == 0


def test_what_the_first_stage_finds_is_what_its_image_shows(config, samples):
    sample = samples[0]
    assert sample.images.shape == (2, 48, 48, 48)
    threshold = config.crops.threshold
    told = sample.images[1].astype(np.float32) * ODDS_SCALE - np.log(threshold / (1 - threshold))
    # Of half precision, they are within a few thousandths.
    clear = np.abs(told) > 0.02
    assert clear.mean() > 0.9
    assert np.array_equal(sample.found[clear], told[clear] > 0)


def test_a_sample_is_cut_to_the_brain_and_normalised_as_in_inference(config, monkeypatch, tmp_path):
    own = OWN | {"voxel_size_mm": 4.0, "window": 16, "normalisation": "foreground"}
    own |= {"field_of_view": "brain"}
    folder = two_stage_model(tmp_path / "two", own=own, voxel_size_mm=2.0)
    model, seen = load_model(str(folder)), []

    def find_brain(*_):
        return slice(4, 20), slice(2, 20), slice(0, 18)

    def look(member, fine, _run):
        seen.append((member, fine))
        return member, Again(None)

    monkeypatch.setattr(scans, "find_brain", find_brain)
    monkeypatch.setattr(scans, "_again", look)
    monkeypatch.setattr(drawing, "find_brain", find_brain)
    image = np.random.default_rng(1).normal(2.0, 1.0, (48, 48, 48)).astype(np.float32)
    image[:20] += 3.0
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    predict({"t1": (image, affine)}, model=model, options=Options(tta=False, overlap=0.25))
    ((member, fine),) = seen
    target = np.full(image.shape, 2, np.uint8)
    target[10:30, 12:30, 14:30] = LESION
    sample = stage_sample(image, target, config, model)
    assert sample.images.shape[1:] == fine.image.shape == sample.parts.shape
    assert fine.image.shape < image.shape
    shown = sample.images.astype(np.float32)
    assert np.allclose(shown[0], normalise(fine.image, "foreground"), atol=0.01)
    logits = resample_logits(member.logits.mean, member.working, fine.grid, slice(None))
    odds = np.clip(lesion_maps(logits)[0], -8, 8)
    assert np.allclose(shown[1] * ODDS_SCALE, odds, atol=0.05)
    low = np.round(fine.grid.affine[:3, 3] / 2).astype(int)
    i, j, k = (slice(a, a + n) for a, n in zip(low, fine.image.shape, strict=True))
    assert np.array_equal(sample.parts > 0, target[i, j, k] == LESION)


def test_parts_are_of_the_samples_own_lesion(config, first):
    rng = np.random.default_rng(0)
    target = np.full((48, 48, 48), 2, np.uint8)
    target[10:30, 12:30, 14:30] = LESION
    sample = stage_sample(rng.random(target.shape, np.float32), target, config, first)
    assert np.array_equal(sample.parts > 0, target == LESION)
    assert np.array_equal(sample.distance_mm > 0, target == LESION)


def made(lesion=True, false=True):
    shape = (40, 40, 40)
    parts, found = np.zeros(shape, np.uint8), np.zeros(shape, bool)
    if lesion:
        parts[5:8, 5:8, 5:8] = CORE
        found[5:8, 5:8, 5:8] = True
    if false:
        found[30:33, 30:33, 30:33] = True
    place = np.arange(40**3, dtype=np.float32).reshape(shape)
    return StageSample(place[None], parts, place, found)


@pytest.mark.parametrize(
    ("shares", "on"), [((1.0, 0.0), "lesion"), ((0.0, 1.0), "false"), ((0.0, 0.0), "anywhere")]
)
def test_crops_lie_on_lesions_on_false_ones_and_anywhere(shares, on):
    sample = made()
    config = CropConfig(16, 40, 1, lesion_share=shares[0], false_share=shares[1])
    hits = {"lesion": 0, "false": 0}
    for seed in range(60):
        crop = draw_crop(np.random.default_rng(seed), [sample], config)
        assert crop.images.shape == (1, 16, 16, 16)
        seen = sample.found.ravel()[crop.distance_mm.astype(int)]
        hits["lesion"] += bool((crop.parts > 0).any())
        hits["false"] += bool((seen & (crop.parts == 0)).any())
    for kind, count in hits.items():
        assert count == 60 if kind == on else count < 40


def test_a_crop_is_of_a_sample_that_has_what_is_wanted():
    bare, full = made(lesion=False, false=False), made(false=False)
    config = CropConfig(16, 40, 1, lesion_share=1.0, false_share=0.0)
    for seed in range(20):
        crop = draw_crop(np.random.default_rng(seed), [bare, full, bare], config)
        assert (crop.parts > 0).any()


def test_a_lesion_that_the_first_stage_never_saw_is_not_looked_for():
    sample = made(false=False)
    unseen = replace(sample, found=np.zeros_like(sample.found))
    config = CropConfig(16, 40, 1, lesion_share=1.0, false_share=0.0)
    hits = [
        (draw_crop(np.random.default_rng(s), [unseen], config).parts > 0).any() for s in range(40)
    ]
    assert sum(hits) < 20


def test_intensities_vary_and_places_do_not():
    sample = made()
    both = replace(sample, images=np.stack([sample.images[0]] * 3))
    config = CropConfig(16, 40, 1, jitter=0.1)
    crop = draw_crop(np.random.default_rng(2), [both], config, ("scan", "lesion", "place"))
    assert np.array_equal(crop.images[2], crop.distance_mm)
    for image in crop.images[:2]:
        slope, shift = np.polyfit(crop.distance_mm.ravel(), image.ravel(), 1)
        assert 0.5 < slope < 1.5
        assert slope != 1.0
        assert np.allclose(image, slope * crop.distance_mm + shift, rtol=1e-4, atol=1.0)
    plain = draw_crop(
        np.random.default_rng(2), [both], replace(config, jitter=0.0), ("scan", "lesion")
    )
    assert np.array_equal(plain.images[0], plain.distance_mm)


def test_where_there_is_no_such_place_a_crop_lies_anywhere():
    sample = made(lesion=False, false=False)
    config = CropConfig(16, 40, 1, lesion_share=1.0, false_share=0.0)
    corners = {
        float(draw_crop(np.random.default_rng(seed), [sample], config).images.min())
        for seed in range(20)
    }
    assert len(corners) > 10


def test_what_a_crop_shows_is_flipped_together():
    sample, flipped = made(), 0
    for seed in range(20):
        crop = draw_crop(np.random.default_rng(seed), [sample], CropConfig(16, 40, 1))
        assert np.array_equal(crop.images[0], crop.distance_mm)
        where = crop.distance_mm.astype(int)
        assert np.array_equal(crop.parts, sample.parts.ravel()[where])
        flipped += crop.distance_mm[1, 0, 0] < crop.distance_mm[0, 0, 0]
    assert 0 < flipped < 20


def test_the_loss_asks_for_log_odds_of_a_unit_a_millimetre():
    parts = torch.zeros(1, 4, 4, 4, dtype=torch.long)
    parts[..., 2:] = RIM
    distance = torch.where(parts > 0, 3.0, -3.0)
    logits = torch.full((1, 3, 4, 4, 4), -50.0)
    logits[:, 0] = 0.0
    logits[:, RIM] = distance
    config = ObjectiveConfig(distance_weight=0.5)
    whole, parted_, distant = stage_loss(logits, parts, distance, config)
    assert float(distant) < 1e-8
    assert float(whole) == pytest.approx(float(parted_))
    off = stage_loss(
        logits + torch.tensor([0.0, 0.0, 2.0]).reshape(1, 3, 1, 1, 1), parts, distance, config
    )
    assert float(off[2]) == pytest.approx((2.0 / 10.0) ** 2, rel=1e-4)
    assert float(off[0]) == pytest.approx(float(off[1]) + 0.5 * float(off[2]))
    without = stage_loss(logits + 1, parts, distance, ObjectiveConfig(distance_weight=0.0))
    assert float(without[0]) == float(without[1])


def test_dice_is_of_all_crops_together():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, 4, generator=generator)
    parts = torch.zeros(2, 4, 4, 4, dtype=torch.long)
    parts[0, :2] = CORE
    distance = torch.zeros(2, 4, 4, 4)
    config = ObjectiveConfig(distance_weight=0.0, entropy_weight=1.0)
    together = stage_loss(logits, parts, distance, config)[0]
    tall = stage_loss(
        torch.cat((logits[:1], logits[1:]), dim=2),
        torch.cat((parts[:1], parts[1:]), dim=1),
        torch.cat((distance[:1], distance[1:]), dim=1),
        config,
    )[0]
    assert float(together) == pytest.approx(float(tall), rel=1e-5)
    apart = [stage_loss(logits[[n]], parts[[n]], distance[[n]], config)[0] for n in (0, 1)]
    assert float(together) != pytest.approx(float(sum(apart) / 2), rel=1e-2)
    parts_alone = stage_loss(logits, parts, distance, replace(config, whole_weight=0.0))[0]
    assert float(parts_alone) < float(together)
    without = stage_loss(logits, parts, distance, replace(config, entropy_weight=0.0))[0]
    crossed = torch.nn.functional.cross_entropy(logits, parts)
    assert float(together - without) == pytest.approx(config.entropy_weight * float(crossed))


def test_a_network_that_corrects_begins_with_the_first_stages_own_answer():
    network = HalfUNet(HalfSpec(3, (4, 8), (1, 1), (1,), 2))
    start_silent(network)
    odds = torch.randn(1, 1, 16, 16, 16)
    logits = network(torch.cat((torch.randn_like(odds), odds), dim=1))
    assert not torch.equal(logits, torch.zeros_like(logits))
    raised = torch.logsumexp(logits[:, 1:] + odds, dim=1) - logits[:, 0]
    assert torch.allclose(raised, odds[:, 0], atol=1e-5)
    plain = uncorrected(odds)
    same = torch.logsumexp(plain[:, 1:], dim=1) - plain[:, 0]
    assert torch.allclose(same, odds[:, 0], atol=1e-5)


def test_samples_are_drawn_anew_and_the_last_of_them_kept(config, first):
    class Counted(StageSamples):
        def __getitem__(self, index):
            return index

    crops = replace(config.crops, per_sample=10, kept=3)
    counted = Counted(replace(config, crops=crops), samples_config(config), None, first)
    seen = {step: counted.kept_at(step) for step in (0, 9, 10, 45)}
    assert seen == {0: [0], 9: [0], 10: [0, 1], 45: [2, 3, 4]}


def test_samples_come_again_after_the_last(config, first):
    crops = replace(config.crops, most_samples=1)
    settings = samples_config(config)
    few = StageSamples(
        replace(config, crops=crops), settings, lambda: load_sources(settings.data), first
    )
    assert few[5] is few[0]


def test_what_is_in_the_store_is_not_drawn_again(config, first, samples, tmp_path):
    crops = replace(config.crops, store=str(tmp_path / "store"))
    stored = replace(config, crops=crops)
    settings = samples_config(config)
    drawn = StageSamples(stored, settings, lambda: load_sources(settings.data), first)[0]
    again = StageSamples(stored, settings, lambda: pytest.fail("was drawn again"), first)[0]
    for one in (drawn, again):
        for name in ("images", "parts", "distance_mm", "found"):
            assert np.array_equal(getattr(one, name), getattr(samples[0], name)), name
    other = replace(stored, objective=replace(config.objective, rim_mm=1.0))
    with pytest.raises(OSError, match="drawn otherwise"):
        StageSamples(other, settings, refuse_to_draw, first)[0]
    (path,) = tmp_path.rglob("*.npz")
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="is no sample"):
        StageSamples(stored, settings, refuse_to_draw, first)[0]


def refuse_to_draw():
    raise OSError("drawn otherwise")


REFUSED = {
    'kind = "masks"': "kind is 'masks'",
    "unknown = 1": "unknown key 'unknown'",
    "voxel_size_mm = 0.0": "voxel_size_mm is 0",
    '[network]\nsees = ["lesion", "scan"]': "network.sees must be",
    '[network]\nsees = ["scan"]': "network.corrects needs lesion",
    "[network]\nchannels = [8]": "network needs channels",
    "[network]\nchannels = [8, 0]\nencoder_units = [1, 1]\ndecoder_units = [1]": "above 0",
    "[crops]\nedge_vox = 60": "crops.edge_vox must be a multiple of 16",
    "[crops]\ncanvas_vox = 32": "crops.canvas_vox must hold a crop",
    "[crops]\nlesion_share = 0.9": "exceed 1",
    "[crops]\nkept = 0": "crops.kept must be 1 or more",
    "[fit]\nsteps = 0": "steps and batch above 0",
    "[fit]\naverage = 1.0": "fit.average",
    "[objective]\nrim_mm = 0.0": "objective.rim_mm",
    "[objective]\ndecide_at = 1.0": "objective.decide_at",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items())
def test_what_makes_no_sense_is_refused(tmp_path, text, message):
    path = tmp_path / "stage.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_stage_two_config(path)


def test_bundled_configurations_are_read():
    assert bundled_stage_configs() == ("smoke", "synth-open-two")
    for name in bundled_stage_configs():
        assert read_stage_two_config(name).first == "synth-open"


def test_a_run_ends_in_a_model_of_both_stages(config, tmp_path):
    folder = train_stage_two(config, tmp_path / "run", CPU)
    head, *lines = (tmp_path / "run" / "loss.tsv").read_text().splitlines()
    assert head.split("\t") == ["step", "loss", "parts", "distance", "first", "seconds"]
    assert len(lines) == config.fit.steps
    model = read_model_folder(folder, name="both")
    second = model.config.second
    assert second.parts == ("core", "rim")
    assert second.corrects
    assert second.voxel_size_mm == config.voxel_size_mm
    assert second.threshold == config.crops.threshold
    assert model.config.volume_interval is None
    assert model.config.lesion_offsets == {}
    assert model.config.threshold == config.objective.decide_at == 0.5
    assert set(json.loads((folder / "golden.json").read_text())) == {"second"}
    found = predict(
        {"t1": scan_image(KINDS["ras"], np.float32)},
        model=str(folder),
        options=Options(tta=False, threshold=0.2),
    )
    assert found.record["stages"][0]["crops"] >= 0


def test_a_run_that_is_resumed_ends_as_one_that_was_not_broken(config, tmp_path):
    class BreakError(Exception):
        pass

    def on_step(step, _loss):
        if step == 7:
            raise BreakError

    whole = train_stage_two(config, tmp_path / "whole", CPU)
    with pytest.raises(BreakError):
        train_stage_two(config, tmp_path / "broken", replace(CPU, on_step=on_step))
    assert config.checkpoint_steps == 5
    broken = train_stage_two(config, tmp_path / "broken", CPU, resume=True)
    logs = [
        [line.rsplit("\t", 1)[0] for line in (folder.parent / "loss.tsv").read_text().splitlines()]
        for folder in (whole, broken)
    ]
    assert logs[0] == logs[1]
    files = [(folder / "stage2.safetensors").read_bytes() for folder in (whole, broken)]
    assert files[0] == files[1]


def test_the_checkpoint_of_another_kind_is_refused(config, tmp_path):
    train_stage_two(replace(config, fit=replace(config.fit, steps=1)), tmp_path / "run", CPU)
    other = replace(config, network=replace(config.network, channels=(6, 8)))
    with pytest.raises(DataError, match="its networks are not the configuration's"):
        train_stage_two(other, tmp_path / "run", CPU, resume=True)


def test_the_smoke_configuration_runs_from_the_command_line(tmp_path, capsys):
    folder = tmp_path / "smoke"
    assert run(["train-stage-two", "smoke", "-o", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "model")
    assert run(["train-stage-two", "smoke", "-o", str(folder)]) == 2
    assert "go on with --resume" in capsys.readouterr().err
